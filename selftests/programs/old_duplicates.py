#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Old duplicates: copies of a few of a connection's packets arrive long after the packets.

Runs in the switch. What was for the service reaches whoever has its address by then, as it would if
it had waited in a router. Counts on standard output, line by line. SEED= chooses the packets.
"""

import argparse
import heapq
import os
import random
import select
import socket
import time

from addresses import family_of

# From linux/if_packet.h and linux/if_ether.h.
PACKET_OUTGOING = 4
ETH_P_ALL = 3
TCP = 6
# Much more than a copy of all would be too much for an emulated machine.
PAUSE = 0.01
# Of each family: the type of its frames, and where they have the protocol and the destination.
FRAMES = {socket.AF_INET: (b"\x08\x00", 23, slice(30, 34)),
          socket.AF_INET6: (b"\x86\xdd", 20, slice(38, 54))}


def main():
    """Reads the options and copies until it is ended."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", required=True)
    parser.add_argument("--address", required=True, help="the service's")
    parser.add_argument("--mac", required=True, help="who has it later")
    parser.add_argument("--delay", type=float, nargs=2, required=True, help="shortest and longest")
    options = parser.parse_args()
    chosen = random.Random(int(os.environ.get("SEED", "0")))
    family = family_of(options.address)
    ethertype, protocol, dest = FRAMES[family]
    service = socket.inet_pton(family, options.address)
    mac = bytes.fromhex(options.mac.replace(":", ""))
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    sock.bind((options.device, ETH_P_ALL))
    waiting = []
    sent = {"to the service": 0, "to the client": 0}
    while True:
        now = time.monotonic()
        while waiting and waiting[0][0] <= now:
            _, _, frame = heapq.heappop(waiting)
            way = "to the client"
            if frame[dest] == service:
                way = "to the service"
                frame = mac + frame[6:]
            sock.send(frame)
            sent[way] += 1
            print(", ".join(f"{count} {name}" for name, count in sent.items()), flush=True)
        time.sleep(PAUSE)
        if not select.select([sock], [], [], PAUSE)[0]:
            continue
        frame, (_, _, kind, _, _) = sock.recvfrom(2048)
        # TCP, whole, and none of our own.
        if kind == PACKET_OUTGOING or frame[12:14] != ethertype or frame[protocol] != TCP:
            continue
        if len(frame) <= 1514:
            at = time.monotonic() + chosen.uniform(*options.delay)
            heapq.heappush(waiting, (at, chosen.random(), frame))


if __name__ == "__main__":
    main()
