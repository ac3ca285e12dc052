#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""A server whose output is a function of its input and of nothing else.

It runs on both nodes. Each connection is a series of commands, one line each:

  GIVE SEED LENGTH  answers with so many bytes, which the seed decides
  TAKE NAME LENGTH  reads so many bytes, which follow the line, and answers "NAME SHA256"; the same
                    stands in the file NAME of the folder --store
  GATE NAME         reads on when the file NAME exists in the folder --gates
  SHUT              sends a FIN, and reads on; answers that would follow are left out
  KEEP              has the kernel ask every second whether the client is still there
  END               closes

A FIN is the same as END. What is no command ends the program's trust: it closes at once.
"""

import argparse
import hashlib
import os
import random
import socket
import threading

from addresses import FAMILIES, server_socket
from steps import await_file


def stream(seed, length):
    """The bytes that a seed stands for."""
    return random.Random(seed).randbytes(length)


class Session:
    """One connection."""

    def __init__(self, options, connection):
        self.options = options
        self.socket = connection
        self.input = connection.makefile("rb", 65536)
        self.shut = False

    def answer(self, data):
        """Sends, unless there is nobody to hear it."""
        if not self.shut:
            self.socket.sendall(data)

    def give(self, seed, length):
        """GIVE."""
        self.answer(stream(int(seed), int(length)))

    def take(self, name, length):
        """TAKE."""
        digest = hashlib.sha256()
        left = int(length)
        while left:
            data = self.input.read1(min(left, 65536))
            if not data:
                raise EOFError
            digest.update(data)
            left -= len(data)
        line = f"{name} {digest.hexdigest()}\n"
        path = os.path.join(self.options.store, name)
        with open(path + ".new", "w", encoding="ascii") as file:
            file.write(line)
        os.rename(path + ".new", path)
        self.answer(line.encode())

    def gate(self, name):
        """GATE."""
        await_file(self.options.gates, name)

    def command(self, words):
        """Does what a line says; returns whether another one follows."""
        match words:
            case ["GIVE", seed, length]:
                self.give(seed, length)
            case ["TAKE", name, length]:
                self.take(name, length)
            case ["GATE", name]:
                self.gate(name)
            case ["SHUT"]:
                self.socket.shutdown(socket.SHUT_WR)
                self.shut = True
            case ["KEEP"]:
                self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
                self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 1)
                self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 1)
            case _:
                return False
        return True

    def run(self):
        """Serves until the end."""
        try:
            while self.command(self.input.readline().decode("ascii", "replace").split()):
                pass
        except (OSError, EOFError) as error:
            print(type(error).__name__, error, flush=True)
        finally:
            self.input.close()
            self.socket.close()


def listen(options, port, buffer):
    """Serves a port, with a receive buffer of so many bytes if it is not 0."""
    with server_socket(options.family) as listener:
        if buffer:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        listener.bind(("", port))
        listener.listen(128)
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=Session(options, connection).run, daemon=True).start()


def main():
    """Reads the options and serves."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--store", required=True)
    parser.add_argument("--gates", required=True)
    parser.add_argument("--family", choices=FAMILIES, default="4")
    parser.add_argument("listeners", nargs="+", metavar="PORT[:BUFFER]")
    options = parser.parse_args()
    os.makedirs(options.store, exist_ok=True)
    threading.stack_size(256 * 1024)
    for listener in options.listeners:
        port, _, buffer = listener.partition(":")
        threading.Thread(target=listen, args=(options, int(port), int(buffer or 0))).start()


if __name__ == "__main__":
    main()
