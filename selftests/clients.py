#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Many HTTP connections of different kinds across one takeover.

Each connection runs until it is under way, says so, and ends after the takeover. When all are under
way the program prints "ready"; what waits for the takeover goes on when the file --go appears.
Prints a line for each connection that did not end well, and a summary; exits 1 if there was one.

Plain sockets, so that nothing is hidden: no retry, no reconnect.
"""

import argparse
import collections
import os
import random
import socket
import sys
import threading
import time


class Failed(Exception):
    """The connection did not end well."""


class Connection:
    """One connection, and what is known of the server's answers."""

    def __init__(self, options, number, seed):
        self.options = options
        self.random = random.Random(seed)
        self.name = f"upload-{number}"
        self.socket = socket.create_connection((options.address, options.port), 60)
        self.socket.settimeout(options.timeout)
        self.buffer = b""

    def request(self, method, path, *headers):
        """The text of a request."""
        lines = [f"{method} {path} HTTP/1.1", f"Host: {self.options.address}", *headers]
        return "\r\n".join(lines + ["", ""]).encode()

    def read_header(self):
        """Reads a response's header; returns status and length of the body."""
        while b"\r\n\r\n" not in self.buffer:
            self.receive()
        header, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
        lines = header.decode().split("\r\n")
        fields = dict(line.lower().split(": ", 1) for line in lines[1:])
        return int(lines[0].split()[1]), int(fields["content-length"])

    def receive(self):
        """Reads what is there."""
        data = self.socket.recv(65536)
        if not data:
            raise Failed("end of the stream before the end of the answer")
        self.buffer += data

    def read_body(self, length, pause=0.0):
        """Reads `length` bytes of a body."""
        while len(self.buffer) < length:
            self.receive()
            time.sleep(pause)
        body, self.buffer = self.buffer[:length], self.buffer[length:]
        return body

    def expect(self, what, condition):
        """Fails unless `condition`."""
        if not condition:
            raise Failed(what)

    def part_request(self):
        """A request for some part of the file; returns it and the answer it should get."""
        content = self.options.content
        length = int(len(content) ** self.random.uniform(0.4, 1))
        first = self.random.randrange(len(content) - length + 1)
        wanted = content[first:first + length]
        return (self.request("GET", "/" + os.path.basename(self.options.file),
                             f"Range: bytes={first}-{first + length - 1}"), wanted)

    def check_part(self, wanted, pause=0.0):
        """Reads the answer to a part_request()."""
        status, length = self.read_header()
        self.expect(f"status {status}", status == 206)
        self.expect(f"length {length}, not {len(wanted)}", length == len(wanted))
        self.expect("wrong bytes", self.read_body(length, pause) == wanted)


def download(connection, under_way, go, pause=0.0):
    """Downloads one part after another, as fast as they come, until after the takeover began."""
    turn = 0
    last = False
    while not last:
        last = turn > 0 and go.is_set()
        request, wanted = connection.part_request()
        connection.socket.sendall(request)
        connection.receive()
        if turn == 0:
            under_way()
        connection.check_part(wanted, pause)
        turn += 1
        # The machine is slow: leave some of it to the others.
        go.wait(0.1)


def trickle(connection, under_way, go):
    """The same, but slowly, by a small window."""
    connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32768)
    download(connection, under_way, go, 0.01)


def stalled(connection, under_way, go):
    """Does not read until after the takeover: its window is closed by then."""
    connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
    request, wanted = connection.part_request()
    connection.socket.sendall(request)
    connection.receive()
    under_way()
    go.wait()
    connection.check_part(wanted)


def upload(connection, under_way, go):
    """Sends a part of a file before and the rest after the takeover began."""
    content = connection.options.content
    size = int(len(content) ** connection.random.uniform(0.4, 0.95))
    body = content[:size]
    before = connection.random.randrange(size)
    connection.socket.sendall(connection.request(
        "PUT", "/store/" + connection.name, f"Content-Length: {size}"))
    connection.socket.sendall(body[:before])
    under_way()
    go.wait()
    connection.socket.sendall(body[before:])
    status, length = connection.read_header()
    connection.read_body(length)
    connection.expect(f"status {status}", status == 201)
    with open(os.path.join(connection.options.store, connection.name), "rb") as file:
        connection.expect("wrong bytes stored", file.read() == body)


def keep_alive(connection, under_way, go):
    """Asks once, lies idle, and asks again after the takeover."""
    for turn in range(2):
        request, wanted = connection.part_request()
        connection.socket.sendall(request)
        connection.check_part(wanted)
        if turn == 0:
            under_way()
            go.wait()


def half_request(connection, under_way, go):
    """Sends half of a request before, the other half after."""
    request, wanted = connection.part_request()
    half = connection.random.randrange(1, len(request))
    connection.socket.sendall(request[:half])
    under_way()
    go.wait()
    connection.socket.sendall(request[half:])
    connection.check_part(wanted)


def silent(connection, under_way, go):
    """Says nothing before the takeover."""
    under_way()
    go.wait()
    request, wanted = connection.part_request()
    connection.socket.sendall(request)
    connection.check_part(wanted)


KINDS = [download, trickle, stalled, upload, keep_alive, half_request, silent]


class Run:
    """All connections of a run."""

    def __init__(self, options, seed):
        self.options = options
        self.going = threading.Event()
        self.ready = threading.Semaphore(0)
        self.ended = collections.Counter()
        self.failed = collections.Counter()
        chosen = random.Random(seed)
        # Every kind is there, whatever the numbers say.
        self.plan = [(KINDS[number] if number < len(KINDS) else chosen.choice(KINDS),
                      chosen.random()) for number in range(options.connections)]

    def one(self, number, kind, seed):
        """Runs one connection."""
        said = threading.Event()

        def under_way():
            said.set()
            self.ready.release()

        try:
            kind(Connection(self.options, number, seed), under_way, self.going)
            self.ended[kind.__name__] += 1
        except (Failed, OSError, ValueError, KeyError) as error:
            self.failed[kind.__name__] += 1
            print(f"failed {number} {kind.__name__}: {type(error).__name__} {error}", flush=True)
        finally:
            if not said.is_set():
                self.ready.release()

    def all(self):
        """Runs all; returns whether all ended well."""
        threads = [threading.Thread(target=self.one, args=(number, *what), daemon=True)
                   for number, what in enumerate(self.plan)]
        for thread in threads:
            thread.start()
        for _ in threads:
            self.ready.acquire()
        print("ready", flush=True)
        deadline = time.monotonic() + self.options.timeout
        while not os.path.exists(self.options.go) and time.monotonic() < deadline:
            time.sleep(0.02)
        self.going.set()
        for thread in threads:
            thread.join(max(0, deadline - time.monotonic()))
        hung = sum(thread.is_alive() for thread in threads)
        for kind in KINDS:
            name = kind.__name__
            print(f"# {name}: {self.ended[name]} ended well, {self.failed[name]} did not")
        print(f"# {hung} hang")
        return not self.failed and hung == 0


def main():
    """Reads the options and runs."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--address", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--file", required=True, help="what the server serves")
    parser.add_argument("--store", required=True, help="where the server stores uploads")
    parser.add_argument("--connections", type=int, default=100)
    parser.add_argument("--go", required=True, help="the file that says that the takeover began")
    parser.add_argument("--timeout", type=float, default=120)
    options = parser.parse_args()
    with open(options.file, "rb") as file:
        options.content = file.read()
    threading.stack_size(256 * 1024)
    sys.exit(not Run(options, int(os.environ.get("SEED", "0"))).all())


if __name__ == "__main__":
    main()
