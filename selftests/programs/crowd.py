#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""A crowd of HTTP connections across one takeover: many that idle, some that download.

All are opened, the idle ones have had one answer, the downloads the beginning of theirs; then the
program prints "ready". When the file --go appears the downloads go on; when all are done, a few of
the idle connections ask again, and then all of them. Every byte is compared. Prints what it has
seen and how long it took; exits 1 if a connection did not end well.

One thread and one selector: ten thousand connections are no work for it.
"""

import argparse
import os
import random
import selectors
import socket
import sys
import time

from addresses import stream_socket
from answer import Answer
from steps import await_file

# Of a download, before the takeover, in bytes.
BEGINNING = 20_000
# How many connections are opened or speak at the same time.
AT_ONCE = 100


class Connection:
    """One connection: what it still expects."""

    def __init__(self, options, name):
        self.name = name
        self.socket = stream_socket(options.address)
        # So that a download does not end in the kernel.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
        self.socket.connect((options.address, options.port))
        self.socket.settimeout(options.timeout)
        self.host = options.address
        self.answer = None
        self.began = 0.0

    def request(self, path):
        """A request, as it is sent."""
        return f"GET {path} HTTP/1.1\r\nHost: {self.host}\r\n\r\n".encode()

    def ask(self, path, content):
        """Sends a request, whose answer has `content`."""
        self.socket.sendall(self.request(path))
        self.expect(content)

    def expect(self, content):
        """From here on an answer with `content` is to come."""
        self.answer = Answer(content)
        self.began = time.monotonic()

    def receive(self, most=65536):
        """Takes in what has come; returns whether the answer is whole."""
        return self.answer.take(self.socket.recv(most))


class Crowd:
    """All of them, and what went wrong."""

    def __init__(self, options):
        self.options = options
        self.failed = 0

    def fail(self, connection, why):
        """Says what has become of a connection."""
        self.failed += 1
        if self.failed <= 10:
            print(f"failed {connection.name}: {why}", flush=True)

    def until_whole(self, connections, at_once, begin):
        """Begins each of them, a few at a time, until all have their answers; returns the waits."""
        waiting = list(reversed(connections))
        waits = []
        with selectors.DefaultSelector() as selector:
            while waiting or selector.get_map():
                while waiting and len(selector.get_map()) < at_once:
                    connection = waiting.pop()
                    begin(connection)
                    selector.register(connection.socket, selectors.EVENT_READ, connection)
                events = selector.select(self.options.timeout)
                if not events:
                    for key in selector.get_map().values():
                        self.fail(key.data, f"hangs, after {key.data.answer.got} bytes")
                    return waits
                for key, _ in events:
                    try:
                        if not key.data.receive():
                            continue
                        waits.append(time.monotonic() - key.data.began)
                    except (OSError, ValueError) as error:
                        self.fail(key.data, f"{type(error).__name__} {error}")
                    selector.unregister(key.fileobj)
        return waits


def tell(what, began, waits):
    """One line of what has happened."""
    waits = sorted(waits) or [0.0]
    print(f"# {what}: {len(waits)} in {time.monotonic() - began:.2f} s, waited "
          f"{waits[len(waits) // 2] * 1000:.0f} ms, {waits[-1] * 1000:.0f} ms at most", flush=True)


def begin_downloads(options, content):
    """Opens the downloads and reads the beginning of each."""
    downloads = []
    for number in range(options.downloads):
        connection = Connection(options, f"download {number}")
        connection.ask(options.large, content)
        while connection.answer.got < BEGINNING:
            connection.receive(4096)
        downloads.append(connection)
    return downloads


def begin_idle(crowd, content):
    """Opens those that will idle, each with one answer."""
    idle = []
    for first in range(0, crowd.options.idle, AT_ONCE):
        group = [Connection(crowd.options, f"idle {number}")
                 for number in range(first, min(first + AT_ONCE, crowd.options.idle))]
        crowd.until_whole(group, AT_ONCE, lambda c: c.ask(crowd.options.small, content))
        idle += group
    return idle


def read(path):
    """The content of a file."""
    with open(path, "rb") as file:
        return file.read()


def main():
    """Reads the options and plays."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--address", required=True)
    parser.add_argument("--port", type=int, default=80)
    parser.add_argument("--folder", required=True, help="of the files that are served")
    parser.add_argument("--large", default="/large")
    parser.add_argument("--small", default="/small")
    parser.add_argument("--idle", type=int, required=True)
    parser.add_argument("--downloads", type=int, required=True)
    parser.add_argument("--go", required=True, help="a file that appears")
    parser.add_argument("--timeout", type=float, default=60)
    options = parser.parse_args()
    large, small = read(options.folder + options.large), read(options.folder + options.small)

    crowd = Crowd(options)
    began = time.monotonic()
    idle = begin_idle(crowd, small)
    downloads = begin_downloads(options, large)
    print(f"# opened in {time.monotonic() - began:.2f} s", flush=True)
    print("ready", flush=True)
    await_file(options.go)

    began = time.monotonic()
    for connection in downloads:
        connection.began = began
    tell("downloads", began, crowd.until_whole(downloads, len(downloads), lambda c: None))
    random.Random(int(os.environ.get("SEED", "0"))).shuffle(idle)
    for what, group in ("first to speak", idle[:AT_ONCE]), ("all that idled", idle):
        began = time.monotonic()
        tell(what, began, crowd.until_whole(group, 1 if group is not idle else AT_ONCE,
                                            lambda c: c.ask(options.small, small)))
    print(f"# {len(idle) + len(downloads) - crowd.failed} ended well, {crowd.failed} did not")
    sys.exit(crowd.failed > 0)


if __name__ == "__main__":
    main()
