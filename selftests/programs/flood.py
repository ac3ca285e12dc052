#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Floods a service with rubbish that is no connection, nor a piece of one: broken headers, wrong
checksums, flags and options by chance, fragments that are never completed, and, in the name of a
client (--victim), resets, SYNs and data that its kernel never sent. Or, with --syns, with SYNs as
they should be, whose handshakes nobody ends.

Nothing of the rubbish is right by chance: what could be has a wrong checksum.
"""

import argparse
import random
import time

from raw_tcp import ACK, FIN, MSS, PSH, RST, SYN, URG, Link, packet, segment
from steps import await_file

# Frames made beforehand, which then come again and again.
VARIETY = 3000
BATCH = 20


class Rubbish:
    """Makes packets."""

    def __init__(self, options, chosen):
        self.options = options
        self.chosen = chosen

    def header(self):
        """Ports, numbers, options and payload by chance."""
        chosen = self.chosen
        ports = (chosen.randrange(1024, 65536), self.options.port)
        numbers = (chosen.randrange(1 << 32), chosen.randrange(1 << 32))
        return ports, numbers, chosen.randbytes(chosen.choice((0, 0, 4, 12, 40))), chosen.randbytes(
            chosen.choice((0, 1, 200, 1300)))

    def wrong_sum(self, source, ports):
        """Anything, with a wrong checksum."""
        _, numbers, options, payload = self.header()
        data = segment(source, self.options.service, ports, numbers, self.chosen.randrange(256),
                       payload, options[:40])
        wrong = bytes((data[16] ^ 0x55, data[17]))
        return packet(source, self.options.service, data[:16] + wrong + data[18:])

    def flags(self):
        """Flags that begin nothing: not those of a SYN."""
        flags = self.chosen.randrange(64)
        if flags & SYN and not flags & (RST | ACK):
            flags |= self.chosen.choice((RST, ACK, FIN))
        return flags

    def stray(self):
        """A segment of no connection."""
        ports, numbers, options, payload = self.header()
        return packet(self.options.address, self.options.service, segment(
            self.options.address, self.options.service, ports, numbers, self.flags() & ~URG,
            payload, options))

    def lying(self):
        """A header that is not as long as it says, or no header at all."""
        ports, numbers, options, payload = self.header()
        data = segment(self.options.address, self.options.service, ports, numbers, SYN, payload,
                       options, offset=self.chosen.choice((0, 1, 4)))
        return packet(self.options.address, self.options.service,
                    data[:self.chosen.choice((0, 8, 13, 19, len(data)))])

    def fragment(self):
        """The first one, or a later one, of a packet that is never whole."""
        ports, numbers, options, payload = self.header()
        data = segment(self.options.address, self.options.service, ports, numbers, SYN, payload,
                       options)
        return packet(self.options.address, self.options.service, data,
                      self.chosen.randrange(65536), self.chosen.choice((0, 8, 64)), True)

    def in_the_name_of(self, victim):
        """What the client has never sent."""
        source, port = victim.rsplit(":", 1)
        ports = (int(port), self.options.port)
        flags = self.chosen.choice((RST, SYN, RST | ACK, 0))
        if not flags:
            return self.wrong_sum(source, ports)
        _, numbers, _, _ = self.header()
        return packet(source, self.options.service,
                    segment(source, self.options.service, ports, numbers, flags))

    def syn(self):
        """What begins a connection."""
        ports, numbers, _, _ = self.header()
        return packet(self.options.address, self.options.service, segment(
            self.options.address, self.options.service, ports, (numbers[0], 0), SYN, options=MSS))

    def any(self):
        """One of all of these."""
        if self.options.syns:
            return self.syn()
        if self.options.victim and self.chosen.random() < 0.4:
            return self.in_the_name_of(self.chosen.choice(self.options.victim))
        ports, _, _, _ = self.header()
        return self.chosen.choice((self.stray, self.lying, self.fragment,
                                   lambda: self.wrong_sum(self.options.address, ports)))()


def main():
    """Reads the options and sends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="eth0")
    parser.add_argument("--address", required=True, help="ours, which no kernel has")
    parser.add_argument("--service", required=True)
    parser.add_argument("--port", type=int, default=80)
    parser.add_argument("--mac", required=True, help="of the service's node")
    parser.add_argument("--victim", nargs="*", default=[], help="ADDRESS:PORT of clients")
    parser.add_argument("--syns", action="store_true")
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--rate", type=int, required=True, help="packets in a second, at most")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--go", required=True, help="nothing is sent before this file is there")
    options = parser.parse_args()
    link = Link(options.device, options.address, options.service, options.mac)
    rubbish = Rubbish(options, random.Random(options.seed))
    frames = [link.frame(rubbish.any()) for _ in range(min(VARIETY, options.count))]
    print("ready", flush=True)
    await_file(options.go)
    begin = time.monotonic()
    for number in range(options.count):
        if number % BATCH == 0:
            time.sleep(max(0, begin + number / options.rate - time.monotonic()))
        link.socket.send(frames[number % len(frames)])
    took = time.monotonic() - begin
    print(f"# {options.count} packets in {took:.1f} s", flush=True)


if __name__ == "__main__":
    main()
