#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Idle keep-alive connections, many of them.

Each asks once for the beginning of a file, and is silent. Prints "ready" when all have had their
answers. When the file --ask appears some of them, chosen by SEED, ask again: prints how many got
the right answer again, and exits 1 if it was not all of them. Runs in the client's guest.
"""

import argparse
import os
import random
import resource
import select
import socket
import sys
import time

from answer import Answer

# How much each asks for, in bytes.
LENGTH = 100
# How many are being opened at the same time.
AT_ONCE = 64
# Not in every version of the socket module.
IP_BIND_ADDRESS_NO_PORT = 24


class Idlers:
    """All of them."""

    def __init__(self, options):
        self.options = options
        self.request = (f"GET {options.path} HTTP/1.1\r\nHost: {options.address}\r\n"
                        f"Range: bytes=0-{LENGTH - 1}\r\n\r\n").encode()
        with open(options.file, "rb") as file:
            self.content = file.read(LENGTH)
        self.sockets = []
        self.errors = []

    def connect(self):
        """Begins to connect one, from the next of the client's addresses."""
        sock = socket.socket()
        sock.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
        sources = self.options.source
        sock.bind((sources[len(self.sockets) % len(sources)], 0))
        sock.setblocking(False)
        self.sockets.append(sock)
        try:
            sock.connect((self.options.address, self.options.port))
        except BlockingIOError:
            pass
        return sock

    def ask(self, sockets):
        """Has each ask, a few at a time; returns how many had the right answer.

        `sockets` yields them when they are to begin.
        """
        good, busy, answers = 0, {}, {}
        poll = select.epoll()
        while True:
            while len(busy) < AT_ONCE and (sock := next(sockets, None)):
                busy[sock.fileno()] = sock
                poll.register(sock, select.EPOLLOUT)
            if not busy:
                return good
            events = poll.poll(self.options.timeout)
            if not events:
                self.errors.append(f"{len(busy)} hang")
                return good
            for number, _ in events:
                try:
                    if number not in answers:
                        busy[number].send(self.request)
                        answers[number] = Answer(self.content, 206)
                        poll.modify(number, select.EPOLLIN)
                        continue
                    if not answers[number].take(busy[number].recv(4096)):
                        continue
                    good += 1
                except (OSError, ValueError) as error:
                    self.errors.append(str(error))
                answers.pop(number, None)
                poll.unregister(number)
                del busy[number]


def main():
    """Reads the options, opens, waits, asks."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--address", required=True)
    parser.add_argument("--port", type=int, default=80)
    parser.add_argument("--path", default="/big")
    parser.add_argument("--file", required=True, help="what is served as that")
    parser.add_argument("--source", action="append", required=True, help="an address of the client")
    parser.add_argument("--number", type=int, required=True)
    parser.add_argument("--again", type=int, default=1000, help="how many ask again")
    parser.add_argument("--ask", required=True, help="a file that appears")
    parser.add_argument("--timeout", type=float, default=120)
    options = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_NOFILE, (options.number + 100, options.number + 100))

    idlers = Idlers(options)
    began = time.monotonic()
    good = idlers.ask(idlers.connect() for _ in range(options.number))
    print(f"{good} of {options.number} opened in {time.monotonic() - began:.1f} s",
          *idlers.errors[:3], sep="; ", flush=True)
    if good != options.number:
        sys.exit(1)
    print("ready", flush=True)
    while not os.path.exists(options.ask):
        time.sleep(0.2)
    again = random.Random(int(os.environ.get("SEED", "0"))).sample(
        idlers.sockets, min(options.again, options.number))
    good = idlers.ask(iter(again))
    print(f"{good} of {len(again)} answered again", *idlers.errors[:3], sep="; ")
    sys.exit(good != len(again))


if __name__ == "__main__":
    main()
