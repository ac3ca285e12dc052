#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Downloads and uploads in whose course the sequence numbers pass 2^32: before their server dies,
or after that. Which numbers a connection begins with is the kernels' choice, so connections are
opened until some have what is wanted; what each has is asked of the kernel (TCP_REPAIR), which
needs root. Steps of the test:

  crash  the node is dead
"""

import socket
import struct

import stream_client
from stream_client import Failed

# From linux/tcp.h.
TCP_REPAIR, TCP_REPAIR_QUEUE, TCP_QUEUE_SEQ = 19, 20, 21
RECEIVED, SENT = 1, 2
REPAIR_ON, REPAIR_OFF_NO_PROBE = 1, -1

# How far 2^32 may be from the beginning, in bytes, and how much follows it.
NEAREST, FARTHEST, BEYOND = 1 << 20, 32 << 20, 2 << 20
# How far from 2^32 the server dies.
MARGIN = 1 << 19
# A client is not to be far behind its server.
BUFFER = 65536
# By then the chance to have found none is one in a million.
TRIES = 4000


def first_number(sock, queue):
    """The sequence number of the first byte to be received or sent."""
    sock.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, REPAIR_ON)
    sock.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR_QUEUE, queue)
    number, = struct.unpack("I", sock.getsockopt(socket.IPPROTO_TCP, TCP_QUEUE_SEQ, 4))
    sock.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, REPAIR_OFF_NO_PROBE)
    return number


def distance(connection, queue):
    """How many bytes come before the one whose number is 0."""
    return (1 << 32) - first_number(connection.socket, queue)


def download(connection, steering):
    """What the server sends passes 2^32."""
    wanted = connection.ask(connection.wrap + BEYOND)
    connection.read(wanted[:connection.crash])
    steering.ready()
    connection.read(wanted[connection.crash:], steering.before("crash"))
    check(connection, RECEIVED)
    connection.read(connection.ask(1000))
    connection.end()


def upload(connection, steering):
    """What the client sends passes 2^32."""
    body, answer = connection.offer(connection.wrap + BEYOND)
    connection.write(body[:connection.crash])
    steering.ready()
    connection.write(body[connection.crash:], steering.before("crash"))
    connection.read(answer)
    check(connection, SENT)
    connection.end()


def check(connection, queue):
    """The numbers have to be small by now."""
    number = first_number(connection.socket, queue)
    if number > 2 * BEYOND:
        raise Failed(f"the numbers have not passed 2^32: {number}")


# Which numbers count, what is done, and where the node dies: so far from 2^32.
WANTED = [("download_passed_before", RECEIVED, download, MARGIN),
          ("download_passed_after", RECEIVED, download, -MARGIN),
          ("upload_passed_before", SENT, upload, MARGIN),
          ("upload_passed_after", SENT, upload, -MARGIN)]


def opened(options):
    """Opens connections until each of WANTED has its own."""
    missing = list(WANTED)
    found = []
    tries = 0
    while missing:
        tries += 1
        if tries > TRIES:
            raise Failed(f"{len(missing)} not found")
        connection = stream_client.Connection(options, "probe")
        connection.set(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
        connection.connect()
        for want in missing:
            name, queue, scenario, place = want
            connection.wrap = distance(connection, queue)
            if NEAREST < connection.wrap < FARTHEST:
                connection.name = name
                connection.crash = connection.wrap + place
                found.append((name, scenario, connection))
                missing.remove(want)
                print(f"# {name}: 2^32 comes after {connection.wrap} bytes", flush=True)
                break
        else:
            connection.reset()
    print(f"# {tries} connections opened", flush=True)
    return found


def main():
    """Reads the options and runs."""
    options = stream_client.parse().parse_args()
    stream_client.run(options, opened(options))


if __name__ == "__main__":
    main()
