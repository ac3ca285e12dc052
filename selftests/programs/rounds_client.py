#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Connections of stream_server.py, one round of them after another.

A round begins with the step "round-N", says "ready" when all its connections are under way, and
ends some time after the step "crash-N", by when the other node has to serve them. Then "round N
ended well" is said, or what did not. Ends with the step "end".

A round has connections that live as long as it does and ask, send, or do both at once, and others
that open, do one thing, and end, again and again. What they do is random; --seed repeats it.
"""

import random
import sys
import threading

from stream_client import Connection, Run, parse, until_one_of

LASTING = 4
HASTY = 2
# The longest answer or upload.
MAX_LENGTH = 1 << 16


class Worker:
    """What one thread of a round does with its connections."""

    def __init__(self, options, number, which):
        self.random = random.Random(f"{options.seed} {number} {which}")
        self.options = options
        self.name = f"{number}-{which}"
        self.crash = f"crash-{number}"

    def length(self):
        """A length; short ones are as likely as long ones."""
        return int(2 ** self.random.uniform(0, MAX_LENGTH.bit_length() - 1))

    def act(self, connection):
        """Asks, sends, or does both at once, and checks what comes."""
        kind = self.random.choice(["ask", "send", "both"])
        wanted, body, answer = b"", b"", b""
        if kind != "send":
            wanted = connection.ask(self.length())
        if kind != "ask":
            body, answer = connection.offer(self.length())
        writer = threading.Thread(target=self.write, args=(connection, body))
        writer.start()
        try:
            connection.read(wanted)
            connection.read(answer)
        finally:
            writer.join()

    @staticmethod
    def write(connection, body):
        """Sends; who reads notices when it cannot be done."""
        try:
            connection.write(body)
        except OSError:
            pass

    def lasting(self, connection, steering):
        """One connection, from before the crash until after it."""
        connection.connect()
        self.act(connection)
        steering.ready()
        while not steering.reached(self.crash):
            self.act(connection)
        for _ in range(2):
            self.act(connection)
        connection.end()

    def hasty(self, connection, steering):
        """One connection after another."""
        turn = 0
        last = False
        while not last:
            last = steering.reached(self.crash)
            connection.connect()
            self.act(connection)
            connection.end()
            steering.ready()
            turn += 1
            connection = Connection(self.options, f"{self.name}.{turn}")


def scenarios(options, number):
    """Those of a round."""
    for which in range(LASTING + HASTY):
        worker = Worker(options, number, which)
        run = worker.lasting if which < LASTING else worker.hasty
        yield worker.name, run, None


def main():
    """Runs rounds until the end."""
    parser = parse()
    parser.add_argument("--seed", required=True)
    options = parser.parse_args()
    number = 1
    ended_well = True
    while True:
        if until_one_of(options, f"round-{number}", "end") == "end":
            break
        good = Run(options).all(list(scenarios(options, number)))
        ended_well = ended_well and good
        print(f"round {number} ended {'well' if good else 'badly'}", flush=True)
        number += 1
    sys.exit(not ended_well)


if __name__ == "__main__":
    main()
