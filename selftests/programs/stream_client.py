# SPDX-License-Identifier: GPL-2.0
"""What the clients of stream_server.py share: connections that check every byte, and steering.

A program has a list of scenarios, each a function with a Connection and a Steering. Each runs in a
thread of its own until its connection is where it is to be when the node dies, says so by
`steering.ready()`, and goes on when the test says so, by making a file in the folder --steps.

Prints "ready" when all are where they are to be, "failed NAME: ..." for each that did not end well,
and a remark for the table of results for each; exits 1 if one failed or hangs.
"""

import argparse
import hashlib
import os
import socket
import sys
import threading
import time

from addresses import stream_socket
from stream_server import stream


class Failed(Exception):
    """The connection did not end well."""


class Connection:
    """One connection, and what it has still to hear."""

    def __init__(self, options, name):
        self.options = options
        self.name = name
        self.seeds = 0
        self.socket = stream_socket(options.address)
        self.socket.settimeout(options.timeout)

    def set(self, level, option, value):
        """Sets a socket option."""
        self.socket.setsockopt(level, option, value)

    def connect(self):
        """Opens it."""
        self.socket.connect((self.options.address, self.options.port))
        return self

    def send(self, text):
        """Sends a command."""
        self.socket.sendall(text.encode())

    def ask(self, length):
        """Asks for bytes; returns those that have to come."""
        self.seeds += 1
        seed = int.from_bytes(hashlib.sha256(f"{self.name} {self.seeds}".encode()).digest()[:6])
        self.send(f"GIVE {seed} {length}\n")
        return stream(seed, length)

    def read(self, wanted, slowly=None):
        """Reads what is wanted; 1 KiB at a time with pauses while `slowly()`."""
        done = 0
        while done < len(wanted):
            calm = slowly is not None and slowly()
            data = self.socket.recv(min(1024 if calm else 65536, len(wanted) - done))
            if not data:
                raise Failed(f"the stream ends after {done} of {len(wanted)} bytes")
            if data != wanted[done:done + len(data)]:
                raise Failed(f"wrong bytes between {done} and {done + len(data)}")
            done += len(data)
            if calm:
                time.sleep(0.05)

    def offer(self, length):
        """Says that bytes will follow; returns them, and the answer that has to come."""
        self.seeds += 1
        name = f"{self.name}-{self.seeds}"
        body = stream(sum(name.encode()), length)
        self.send(f"TAKE {name} {length}\n")
        return body, f"{name} {hashlib.sha256(body).hexdigest()}\n".encode()

    def write(self, body, slowly=None):
        """Sends bytes; 1 KiB at a time with pauses while `slowly()`."""
        done = 0
        while done < len(body):
            calm = slowly is not None and slowly()
            size = 1024 if calm else 65536
            self.socket.sendall(body[done:done + size])
            done += size
            if calm:
                time.sleep(0.05)

    def write_until_full(self, body):
        """Sends until nothing goes any more for a while; returns what is left."""
        done = 0
        self.socket.settimeout(1)
        try:
            while done < len(body):
                done += self.socket.send(body[done:done + 65536])
        except TimeoutError:
            pass
        self.socket.settimeout(self.options.timeout)
        if done >= len(body):
            raise Failed("all went: it does not stand still")
        return body[done:]

    def silent(self):
        """Waits until nothing comes any more, without reading."""
        last, since = None, time.monotonic()
        while time.monotonic() - since < 0.5:
            try:
                waiting = len(self.socket.recv(1 << 24, socket.MSG_PEEK | socket.MSG_DONTWAIT))
            except BlockingIOError:
                waiting = 0
            if waiting != last or waiting == 0:
                last, since = waiting, time.monotonic()
            time.sleep(0.1)

    def read_end(self):
        """The stream has to end here."""
        data = self.socket.recv(65536)
        if data:
            raise Failed(f"{len(data)} bytes where the stream should end")

    def end(self):
        """Ends in order: the server has to answer with nothing but its FIN."""
        self.socket.shutdown(socket.SHUT_WR)
        self.read_end()
        self.socket.close()

    def reset(self):
        """Resets it."""
        self.set(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.socket.close()


class Steering:
    """What a scenario waits for."""

    def __init__(self, options, name, semaphore):
        self.options = options
        self.name = name
        self.semaphore = semaphore
        self.is_ready = False

    def ready(self):
        """The connection is where it is to be."""
        if not self.is_ready:
            self.is_ready = True
            self.semaphore.release()

    def reached(self, step):
        """Whether the test has come to that step."""
        return os.path.exists(os.path.join(self.options.steps, step))

    def before(self, step):
        """The opposite, as something to call."""
        return lambda: not self.reached(step)

    def until(self, step):
        """Waits for that step."""
        while not self.reached(step):
            time.sleep(0.03)


def until_one_of(options, *steps):
    """Waits until the test has come to one of these steps; returns which."""
    while True:
        for step in steps:
            if os.path.exists(os.path.join(options.steps, step)):
                return step
        time.sleep(0.03)


class Run:
    """All scenarios of a program: name, function, and a Connection if it is there already."""

    def __init__(self, options):
        self.options = options
        self.semaphore = threading.Semaphore(0)
        self.failed = []

    def one(self, name, scenario, connection):
        """Runs one."""
        steering = Steering(self.options, name, self.semaphore)
        try:
            scenario(connection or Connection(self.options, name), steering)
        except (Failed, OSError) as error:
            self.failed.append(name)
            print(f"failed {name}: {type(error).__name__} {error}", flush=True)
        finally:
            steering.ready()

    def all(self, scenarios):
        """Runs all; returns whether all ended well."""
        threads = {name: threading.Thread(target=self.one, args=(name, scenario, connection),
                                          daemon=True)
                   for name, scenario, connection in scenarios}
        for thread in threads.values():
            thread.start()
        for _ in threads:
            self.semaphore.acquire()
        print("ready", flush=True)
        deadline = time.monotonic() + self.options.timeout
        for thread in threads.values():
            thread.join(max(0, deadline - time.monotonic()))
        hung = [name for name, thread in threads.items() if thread.is_alive()]
        for name in hung:
            print(f"failed {name}: hangs", flush=True)
        for name in threads:
            verdict = "failed" if name in self.failed + hung else "passed"
            print(f"# cell {name} {verdict}", flush=True)
        print(f"# {len(threads) - len(self.failed) - len(hung)} of {len(threads)} ended well",
              flush=True)
        return not self.failed and not hung


def parse():
    """Reads the options that all programs have."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--address", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--store", required=True, help="where the server notes what it took")
    parser.add_argument("--steps", required=True, help="the folder of the test's steps")
    parser.add_argument("--timeout", type=float, default=60)
    threading.stack_size(256 * 1024)
    return parser


def run(options, scenarios):
    """Runs, and ends the program."""
    code = 0 if Run(options).all(scenarios) else 1
    sys.stdout.flush()
    # Not by exit(): threads that hang would be waited for.
    os._exit(code)
