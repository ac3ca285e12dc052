#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Uploads to two ports of one server, in pieces that overlap and say different things of the same
places, number by number the same. Which of them counts is the kernel's to say: the upload to the
second port ends at once; that to the first one waits for the file --go in the midst of it.

Prints "ready" when all pieces have been acknowledged on both, and exits 0 when both are stored.
"""

import argparse
import os
import random
import sys
import time

from raw_tcp import ACK, MSS, PSH, SYN, Connection, Link

QUIET = 0.2
# What is sent in pieces, and all of it.
PIECED, SIZE = 24_000, 40_000
# As many as the kernel keeps, each with its own overhead, of what is out of order.
PIECES = 30
STEP = 1200


def pieces(chosen):
    """Places and bytes: some by chance, then enough to leave no gap, still overlapping."""
    for _ in range(PIECES):
        at = chosen.randrange(PIECED - 1)
        yield at, chosen.randbytes(chosen.randrange(1, min(1400, PIECED - at + 1)))
    for at in range(0, PIECED, STEP):
        at = max(0, at - chosen.randrange(100))
        yield at, chosen.randbytes(min(STEP + 200, PIECED - at))


def listen(link, conns):
    """Takes in what comes until it is quiet."""
    for answer in link.receive(QUIET):
        for conn in conns:
            if (answer.dest, answer.source) == conn.ports:
                conn.hear(answer)


def wait(link, conns, done, what, say):
    """Says the same again until it has come about."""
    deadline = time.monotonic() + 30
    while not all(done(conn) for conn in conns):
        if time.monotonic() > deadline:
            sys.exit(f"no end of waiting for: {what}")
        for conn in conns:
            say(conn)
        listen(link, conns)


def finish(link, conn, begin, rest):
    """Sends the rest, in order, as an ordinary client would, until it is stored."""
    def say(conn):
        link.send(conn.packet(ACK, seq=conn.acked))
        for at in range(max(0, conn.acked - begin), len(rest), STEP)[:8]:
            link.send(conn.packet(ACK, rest[at:at + STEP], seq=begin + at))
    wait(link, [conn], lambda conn: b"\r\n\r\n" in conn.stream, "an answer", say)
    if b" 201 " not in conn.stream and b" 204 " not in conn.stream:
        sys.exit(f"not stored: {conn.stream}")


def main():
    """Reads the options and uploads."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="eth0")
    parser.add_argument("--address", required=True, help="ours, which no kernel has")
    parser.add_argument("--service", required=True)
    parser.add_argument("--mac", required=True, help="of the service's node")
    parser.add_argument("--ports", type=int, nargs=2, required=True,
                        help="the protected one and another")
    parser.add_argument("--go", required=True)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    link = Link(options.device, options.address, options.service, options.mac)
    chosen = random.Random(options.seed)
    conns = [Connection(link, 19_000, port, chosen.randrange(1 << 32)) for port in options.ports]
    wait(link, conns, lambda conn: conn.irs, "a handshake",
         lambda conn: link.send(conn.packet(SYN, seq=0, options=MSS)))
    for conn in conns:
        head = (f"PUT /store/{conn.ports[1]} HTTP/1.1\r\nHost: x\r\nContent-Length: {SIZE}\r\n"
                "\r\n").encode()
        link.send(conn.packet(ACK | PSH, head))
        conn.next += len(head)
    listen(link, conns)
    for at, piece in pieces(chosen):
        for conn in conns:
            link.send(conn.packet(ACK, piece, seq=conn.next + at))
    listen(link, conns)
    for conn in conns:
        conn.next += PIECED
    wait(link, conns, lambda conn: conn.acked == conn.next, "the acknowledgement of all pieces",
         lambda conn: link.send(conn.packet(ACK)))
    rest = chosen.randbytes(SIZE - PIECED)
    protected, other = conns
    finish(link, other, other.next, rest)
    print("ready", flush=True)
    while not os.path.exists(options.go):
        listen(link, conns)
    finish(link, protected, protected.next, rest)


if __name__ == "__main__":
    main()
