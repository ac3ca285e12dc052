#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Downloads that go on until they are told to end: the active connections of the benchmark.

Opens them, reads all that comes, compares it with the file, and prints "ready" as soon as each has
so many bytes. When FOLDER/mark appears, which has to be while nothing comes, it prints "resumed" as
soon as each has more bytes than it had then. When FOLDER/stop appears it prints what it has seen
and ends; it exits 1 if a byte was wrong or a connection ended before. Runs in the client's guest.

The sockets are looked at ten times a second: when bytes came is read from a capture, not from this
program.
"""

import argparse
import mmap
import os
import select
import socket
import sys
import time

from answer import Answer

TICK = 0.1
MOST = 1 << 20


class Download:
    """One connection."""

    def __init__(self, options, content):
        self.answer = Answer(content)
        self.failed = False
        self.socket = socket.create_connection((options.address, options.port), options.timeout)
        self.socket.sendall(f"GET {options.path} HTTP/1.1\r\nHost: {options.address}\r\n\r\n"
                            .encode())
        self.socket.setblocking(False)

    def read(self):
        """Takes in what is there. Raises ValueError if it is not what it should be."""
        self.answer.take(self.socket.recv(MOST))


class Receivers:
    """All of them."""

    def __init__(self, options):
        self.options = options
        with open(options.file, "rb") as file:
            self.content = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
        self.poll = select.epoll()
        self.all = {}
        self.failed = []

    def open(self):
        """Opens them one after the other, while those that are there are read."""
        tick = time.monotonic()
        for _ in range(self.options.number):
            download = Download(self.options, self.content)
            self.all[download.socket.fileno()] = download
            self.poll.register(download.socket, select.EPOLLIN)
            if time.monotonic() - tick > TICK:
                self.read()
                tick = time.monotonic()

    def read(self):
        """Reads from each that has something."""
        for number, _ in self.poll.poll(0, len(self.all) + 1):
            download = self.all[number]
            try:
                download.read()
            except (OSError, ValueError) as error:
                self.failed.append(f"{type(error).__name__} {error}")
                self.poll.unregister(number)
                download.failed = True

    def appears(self, name):
        """Whether a file is there."""
        return os.path.exists(os.path.join(self.options.folder, name))

    def have(self, marks):
        """Whether each has so many bytes, but those that have failed."""
        return all(download.answer.got >= marks.get(number, 0) or download.failed
                   for number, download in self.all.items())

    def stages(self):
        """Reads, and says how far it has come."""
        yield from self.until(lambda: self.have(dict.fromkeys(self.all, self.options.bytes)))
        print("ready", flush=True)
        yield from self.until(lambda: self.appears("mark"))
        # What has been here before the mark is taken in with this one.
        self.read()
        marks = {number: download.answer.got + 1 for number, download in self.all.items()}
        yield from self.until(lambda: self.have(marks))
        print("resumed", flush=True)
        yield from self.until(lambda: False)

    @staticmethod
    def until(condition):
        """Yields as long as it does not hold."""
        while not condition():
            yield

    def run(self):
        """Reads until it is told to end."""
        stages = self.stages()
        while not self.appears("stop"):
            self.read()
            next(stages)
            time.sleep(TICK)
        total = sum(download.answer.got for download in self.all.values())
        print(f"{len(self.all)} connections, {total} bytes compared, {len(self.failed)} failed",
              *self.failed[:3], sep="; ")
        return not self.failed


def main():
    """Reads the options and receives."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--address", required=True)
    parser.add_argument("--port", type=int, default=80)
    parser.add_argument("--path", default="/big")
    parser.add_argument("--file", required=True, help="what is to come")
    parser.add_argument("--number", type=int, required=True)
    parser.add_argument("--bytes", type=int, required=True, help="until each counts as under way")
    parser.add_argument("--folder", required=True, help="where mark and stop appear")
    parser.add_argument("--timeout", type=float, default=60)
    receivers = Receivers(parser.parse_args())
    receivers.open()
    sys.exit(not receivers.run())


if __name__ == "__main__":
    main()
