#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Connections that rest, some of which speak again before the takeover.

All ask once, and are answered. When the file STEPS/again appears some ask and are answered again;
when STEPS/half appears the same ones send the first half of another request, and others are closed.
Prints "answered", "again" and "half" when that is done, the last one as soon as the halves are
acknowledged. When STEPS/rest appears the other halves are sent, and then everyone asks. Exits 1 if
a connection did not end well.
"""

import argparse
import array
import fcntl
import sys
import termios
import time

from crowd import Connection, Crowd, read
from steps import await_file

AT_ONCE = 20


def unacknowledged(connection):
    """How many bytes the server has not acknowledged."""
    count = array.array("i", [0])
    fcntl.ioctl(connection.socket, termios.TIOCOUTQ, count)
    return count[0]


def send_part(connection, content, part):
    """Sends one half of a request, whose answer has `content`."""
    request = connection.request("/small")
    half = len(request) // 2
    connection.expect(content)
    connection.socket.sendall(request[:half] if part == 0 else request[half:])


def main():
    """Reads the options and plays."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--address", required=True)
    parser.add_argument("--port", type=int, default=80)
    parser.add_argument("--content", required=True, help="the file that is served as /small")
    parser.add_argument("--number", type=int, required=True)
    parser.add_argument("--speaking", type=int, required=True)
    parser.add_argument("--closing", type=int, required=True)
    parser.add_argument("--steps", required=True, help="a folder")
    parser.add_argument("--timeout", type=float, default=60)
    options = parser.parse_args()
    content = read(options.content)

    crowd = Crowd(options)
    connections = []

    def ask(group):
        crowd.until_whole(group, AT_ONCE, lambda c: c.ask("/small", content))
    # One after another: one that is kept waiting before it asks may rest already.
    for number in range(options.number):
        connections.append(Connection(options, f"connection {number}"))
        ask(connections[-1:])
    speaking, others = connections[:options.speaking], connections[options.speaking:]
    print("answered", flush=True)
    await_file(options.steps, "again")
    ask(speaking)
    print("again", flush=True)
    await_file(options.steps, "half")
    for connection in speaking:
        send_part(connection, content, 0)
    for connection in others[:options.closing]:
        connection.socket.close()
    while any(unacknowledged(connection) for connection in speaking):
        time.sleep(0.01)
    print("half", flush=True)
    await_file(options.steps, "rest")
    crowd.until_whole(speaking, AT_ONCE, lambda c: send_part(c, content, 1))
    ask(speaking + others[options.closing:])
    print(f"# {crowd.failed} did not end well")
    sys.exit(crowd.failed > 0)


if __name__ == "__main__":
    main()
