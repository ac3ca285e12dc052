#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""A peer on the channel that does not keep to the contract (rust/wire/frame.rs and record.rs).

Plays one case after another, each in a session of its own, and prints "ok NAME" or "not ok NAME":
the session has to end and stats/malformed_records has to grow, or, where the case is odd but not
malformed, the session has to go on.
"""

import argparse
import os
import random
import socket
import struct
import sys
import time

PORT = 7789
MAX_FRAME = 32 * 1024
FRAME_HEADER = 16
HELLO, HEARTBEAT, SERVICE, OPEN, DATA, CLOSE, CONFIRM = range(1, 8)
KEY = bytes(36)
OPEN_BODY = 70


def record(kind, body, length=None):
    """A record."""
    return struct.pack(">BBH", kind, 0, len(body) if length is None else length) + body


def frame(number, records, magic=b"TCFO", version=2, length=None):
    """A frame."""
    length = len(records) if length is None else length
    return magic + struct.pack(">HHII", version, 0, number, length) + records


HELLO_RECORD = record(HELLO, struct.pack(">Q", 0x1234567890abcdef))
HEARTBEAT_RECORD = record(HEARTBEAT, struct.pack(">Q", 1))
GREETING = frame(0, HELLO_RECORD)


def malformed():
    """Cases that have to end the session: name and what is sent."""
    yield "no frame at all", os.urandom(1024)
    yield "zeros", bytes(4096)
    yield "text", b"GET / HTTP/1.1\r\n\r\n" * 10
    yield "a wrong magic", frame(0, HELLO_RECORD, magic=b"TCFP")
    yield "a version of the future", frame(0, HELLO_RECORD, version=3)
    yield "a version of the past", frame(0, HELLO_RECORD, version=1)
    yield "a frame that is too long", frame(0, HELLO_RECORD, length=MAX_FRAME)
    yield "a frame of four gigabytes", frame(0, HELLO_RECORD, length=0xffffffff)
    yield "a session that begins with frame 1", frame(1, HELLO_RECORD)
    yield "a frame that comes twice", GREETING + GREETING
    yield "a frame that is missing", GREETING + frame(2, HEARTBEAT_RECORD)
    yield "no greeting", frame(0, HEARTBEAT_RECORD)
    yield "a greeting that is too short", frame(0, record(HELLO, bytes(7)))
    yield "a greeting that is too long", frame(0, record(HELLO, bytes(9)))
    yield "an unknown kind", GREETING + frame(1, record(99, bytes(8)))
    yield "kind 0", GREETING + frame(1, record(0, b""))
    yield "a record longer than its frame", GREETING + frame(1, record(HEARTBEAT, bytes(8), 9))
    yield "half a record header", GREETING + frame(1, b"\x02\0")
    yield "a role that does not exist", GREETING + frame(1, record(SERVICE, KEY[:18] + b"\x07\0" +
                                                                   bytes(44)))
    yield "a scale of 15", GREETING + frame(1, record(
        OPEN, (KEY + bytes(8) + b"\x01\x0f\x0f\0").ljust(OPEN_BODY, b"\0")))
    yield "an epoch after which there is none", GREETING + frame(1, record(
        SERVICE, KEY[:18] + b"\1\1" + b"\xff" * 8 + bytes(36)))
    yield "data that has no bytes", GREETING + frame(1, record(DATA, KEY + bytes(8) +
                                                               struct.pack(">QQ", 1, 1)))
    yield "data at the SYN", GREETING + frame(1, record(DATA, KEY + bytes(8) +
                                                        struct.pack(">QQ", 0, 1) + b"x"))
    yield "data at 2^63", GREETING + frame(1, record(DATA, KEY + bytes(8) +
                                                     struct.pack(">QQ", 1 << 63, 1) + b"x"))


def odd():
    """Cases that are strange, but must not end the session."""
    yield "an empty frame", frame(1, b"")
    yield "data of an unknown connection", frame(1, record(DATA, KEY + bytes(8) +
                                                           struct.pack(">QQ", 1, 1) + b"x"))
    yield "the end of an unknown connection", frame(1, record(CLOSE, KEY + bytes(4)))
    yield "a confirmation for an unknown connection", frame(
        1, record(CONFIRM, KEY + bytes(4) + struct.pack(">Q", 1 << 40)))
    yield "a connection of an unknown service", frame(1, record(OPEN, KEY.ljust(OPEN_BODY, b"\0")))
    nobody = bytes(10) + b"\xff\xff\x0a\0\0\1\0\1"
    yield "a service that nobody has", frame(
        1, record(SERVICE, nobody + b"\x01\x01" + struct.pack(">QI", 1 << 60, 0) + bytes(32)))
    yield "heartbeats, many in a frame", frame(1, HEARTBEAT_RECORD * 500)


class Peer:
    """Makes sessions with the module, and reads its counter."""

    def __init__(self, options):
        self.options = options
        self.listener = None
        if options.listen:
            self.listener = socket.create_server((options.local, PORT), backlog=8)
            self.listener.settimeout(20)

    def session(self):
        """A new connection of the channel."""
        if self.listener:
            connection, _ = self.listener.accept()
        else:
            connection = self.connect()
        connection.settimeout(10)
        return connection

    def connect(self):
        """Connects; right after a session the module may need a moment until it listens again."""
        deadline = time.monotonic() + 5
        while True:
            try:
                return socket.create_connection((self.options.peer, PORT), 20,
                                                (self.options.local, 0))
            except ConnectionRefusedError:
                if time.monotonic() > deadline:
                    raise
            time.sleep(0.02)

    def malformed(self):
        """How many records the module has refused."""
        with open(os.path.join(self.options.stats, "malformed_records"), encoding="ascii") as file:
            return int(file.read())

    def counted(self, before):
        """Whether one more was refused, within a while."""
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            if self.malformed() > before:
                return True
            time.sleep(0.02)
        return False


def drained(connection):
    """Whether the module ends the session."""
    try:
        while connection.recv(65536):
            pass
        return True
    except ConnectionError:
        return True
    except TimeoutError:
        return False


def is_hurried(connection):
    """Whether a session ends whose greeting comes a byte at a time, before that is whole."""
    deadline = time.monotonic() + 2
    for byte in GREETING[:-1]:
        try:
            connection.sendall(bytes([byte]))
        except ConnectionError:
            return time.monotonic() > deadline - 0.5
        time.sleep(0.2)
    return False


def send(connection, data):
    """Sends; that the module has hung up already is no error."""
    try:
        connection.sendall(data)
    except ConnectionError:
        pass


def end(connection):
    """Says that nothing more comes; that the module has hung up already is no error."""
    try:
        connection.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def turned_away(peer):
    """Whether there is no session to be had."""
    try:
        with peer.session() as connection:
            send(connection, GREETING)
            return drained(connection)
    except ConnectionResetError:
        return True


def alive(connection):
    """Whether the session goes on for a while: the module sends heartbeats."""
    deadline = time.monotonic() + 0.7
    while time.monotonic() < deadline:
        try:
            if not connection.recv(65536):
                return False
        except ConnectionError:
            return False
    return True


def result(name, good):
    """Prints one result; returns whether it is good."""
    print("ok" if good else "not ok", name, flush=True)
    return good


def play(peer, seed):
    """Plays all cases."""
    for name, data in malformed():
        before = peer.malformed()
        with peer.session() as connection:
            send(connection, data)
            ended = drained(connection)
            result(name + " ends the session", ended)
        result(name + " is counted", peer.counted(before))
    with peer.session() as connection:
        result("a greeting that does not come to its end is not waited for",
               is_hurried(connection))
    for name, data in odd():
        before = peer.malformed()
        with peer.session() as connection:
            send(connection, GREETING + data)
            result(name + " does no harm", alive(connection))
        result(name + " is not malformed", peer.malformed() == before)
    chosen = random.Random(seed)
    bodies = [data for _, data in odd()]
    for _ in range(peer.options.mutations):
        data = bytearray(GREETING + chosen.choice(bodies))
        for _ in range(chosen.randrange(1, 6)):
            data[chosen.randrange(len(data))] = chosen.randrange(256)
        with peer.session() as connection:
            send(connection, bytes(data[:chosen.randrange(1, len(data) + 1)]))
            end(connection)
            if not drained(connection):
                result(f"mutation {bytes(data).hex()} ends", False)
                return
    result(f"{peer.options.mutations} mutations end", True)


def main():
    """Reads the options and plays."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--local", required=True)
    parser.add_argument("--peer", required=True)
    parser.add_argument("--stats", required=True, help="the stats folder of the module")
    parser.add_argument("--mutations", type=int, default=100)
    parser.add_argument("--connect", action="store_true")
    parser.add_argument("--listen", action="store_true")
    parser.add_argument("--stranger", action="store_true", help="only see whether it is let in")
    options = parser.parse_args()
    peer = Peer(options)
    if options.stranger:
        sys.exit(not turned_away(peer))
    play(peer, int(os.environ.get("SEED", "0")))


if __name__ == "__main__":
    main()
