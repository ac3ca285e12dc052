#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Looks for bytes that a server sent beyond the window that its client had offered.

Arguments: a client's capture (classic pcap, Ethernet, IPv4) and the server's port. Prints each
such segment; exits 1 if there was one, or if there was nothing to look at.
"""

import struct
import sys


class Client:
    """What a client has offered."""

    def __init__(self):
        self.scale = None
        self.server_scales = False
        self.edge = None

    def offers(self, ack, window, syn):
        """Notes the right edge of a window."""
        edge = ack + (window if syn or not self.server_scales else window << (self.scale or 0))
        if self.edge is None or (edge - self.edge) & 0xffffffff < 1 << 31:
            self.edge = edge & 0xffffffff

    def excess(self, end):
        """How many bytes before `end` lie beyond it."""
        excess = (end - self.edge) & 0xffffffff
        return excess if excess < 1 << 31 else 0


def segments(data):
    """Number, header and length of each TCP segment."""
    order = "<" if data[0] in (0xd4, 0x4d) else ">"
    place, number = 24, 0
    while place + 16 <= len(data):
        length = struct.unpack_from(order + "I", data, place + 8)[0]
        packet = data[place + 16:place + 16 + length]
        place, number = place + 16 + length, number + 1
        if packet[12:14] != b"\x08\0" or packet[23] != 6:
            continue
        start = 14 + (packet[14] & 15) * 4
        total = struct.unpack_from(">H", packet, 16)[0]
        header = packet[start:start + (packet[start + 12] >> 4) * 4]
        yield number, packet[6:12].hex(":"), header, total + 14 - start - len(header)


def scale(header):
    """The window scale that a SYN offers, if it does."""
    options = header[20:]
    while options and options[0] != 0:
        if options[0] == 1:
            options = options[1:]
            continue
        if options[0] == 3:
            return options[2]
        options = options[max(options[1], 2):]
    return None


def main():
    """Looks."""
    port = int(sys.argv[2])
    clients, found, seen = {}, 0, 0
    with open(sys.argv[1], "rb") as file:
        data = file.read()
    for number, source, header, length in segments(data):
        sport, dport, seq, ack, _, flags, window = struct.unpack_from(">HHIIBBH", header)
        if dport == port:
            client = clients.setdefault(sport, Client())
            if flags & 2:
                client.scale = scale(header)
                client.edge = None
            elif flags & 16 and not flags & 4:
                client.offers(ack, window, False)
        elif sport == port and dport in clients:
            client = clients[dport]
            if flags & 2:
                client.server_scales = scale(header) is not None and client.scale is not None
            elif length and client.edge is not None:
                seen += 1
                # One byte more asks whether the window is still closed.
                if client.excess(seq + length) > 1:
                    found += 1
                    print(f"packet {number}, client {dport}: {source} sends {length} bytes, "
                          f"{client.excess(seq + length)} of them beyond the window")
    print(f"{seen} segments seen, {found} beyond the window")
    sys.exit(found > 0 or not seen)


if __name__ == "__main__":
    main()
