#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Many slow downloads at once across one takeover, and of special kinds without one.

Prints "ready" when all are under way; those that are silent say their first word when the file
--go appears. Prints for each port `result PORT: N ended well, N did not`, and a line for each
connection that did not, and how long after --go it ended; exits 1 if there was one.

Plain sockets, so that nothing is hidden: no retry, no reconnect.
"""

import argparse
import os
import select
import socket
import sys
import time

from addresses import stream_socket
from answer import Answer
from server import IPPROTO_MPTCP, encrypt, sign

# How much of a download is to be there before the takeover, in bytes.
UNDER_WAY = 32768
# Often enough for a slow download, and not more than an emulated machine bears.
TICK = 0.1


def connect(kind, address, request):
    """Returns a connected socket of that kind, and what of the request is left to be sent."""
    sock = stream_socket(address[0], IPPROTO_MPTCP if kind == "mptcp" else 0)
    sock.settimeout(30)
    if kind in ("md5", "ao"):
        sign(sock, address[0], kind)
    if kind == "fastopen":
        # One that may not wait would be told to wait.
        sock.setblocking(True)
        sent = sock.sendto(request, socket.MSG_FASTOPEN, address)
        return sock, request[sent:]
    sock.connect(address)
    if kind == "ktls":
        encrypt(sock)
    if kind == "urgent":
        # An urgent byte is none of the stream: the server reads the request without it.
        sock.sendall(request[:5])
        sock.send(b"!", socket.MSG_OOB)
        return sock, request[5:]
    return sock, request


class Download:
    """One connection."""

    def __init__(self, options, port, silent):
        self.answer = Answer(options.content)
        self.rate = options.rate
        self.silent = silent
        self.name = f"{port} {'silent' if silent else options.kind}"
        self.port = port
        self.error = None
        self.over = None
        path = options.path or "/" + os.path.basename(options.file)
        request = f"GET {path} HTTP/1.1\r\nHost: {options.address}\r\n\r\n".encode()
        self.socket, self.request = connect(options.kind, (options.address, port), request)
        if not silent:
            self.ask()
        self.socket.setblocking(False)

    def ask(self):
        """Sends the request, or what is left of it."""
        self.socket.sendall(self.request)
        self.silent = False
        self.began = time.monotonic()

    def is_under_way(self):
        """Whether it has come so far that the takeover may begin."""
        return self.silent or self.over or self.answer.got >= UNDER_WAY

    def allowance(self):
        """How many bytes may be read now."""
        if self.silent or self.over:
            return 0
        return int((time.monotonic() - self.began) * self.rate) - self.answer.got

    def read(self):
        """Reads what is there and may be read."""
        try:
            if self.answer.take(self.socket.recv(max(1, min(self.allowance(), 65536)))):
                self.end(None)
        except BlockingIOError:
            pass
        except (OSError, ValueError) as error:
            self.end(f"{type(error).__name__} {error}")

    def end(self, error):
        """It is over."""
        self.error = error
        self.over = time.monotonic()
        self.socket.close()


class Run:
    """All downloads of a run."""

    def __init__(self, options):
        self.options = options
        self.downloads = [Download(options, port, number < options.silent)
                          for port in options.port for number in range(options.connections)]
        self.went = None

    def go(self):
        """The takeover has begun."""
        self.went = time.monotonic()
        for download in self.downloads:
            if download.silent:
                try:
                    download.ask()
                except OSError as error:
                    download.end(f"{type(error).__name__} {error}")

    def all(self):
        """Runs all; returns whether all ended well."""
        said = False
        deadline = time.monotonic() + self.options.timeout
        while time.monotonic() < deadline:
            going = [download for download in self.downloads if not download.over]
            if not going:
                break
            hungry = {download.socket: download for download in going
                      if download.allowance() > 0}
            for sock in select.select(list(hungry), [], [], TICK)[0]:
                hungry[sock].read()
            if not said and all(download.is_under_way() for download in self.downloads):
                print("ready", flush=True)
                said = True
            if self.went is None and os.path.exists(self.options.go):
                self.go()
            time.sleep(TICK)
        for download in self.downloads:
            if not download.over:
                download.end("hangs")
        return self.report()

    def report(self):
        """Says what has become of them."""
        went = self.went or time.monotonic()
        for download in self.downloads:
            if download.error:
                print(f"failed {download.name}: {download.error}, "
                      f"after {download.answer.got} bytes, "
                      f"{int((download.over - went) * 1000)} ms")
        for port in self.options.port:
            there = [download for download in self.downloads if download.port == port]
            bad = sum(bool(download.error) for download in there)
            print(f"result {port}: {len(there) - bad} ended well, {bad} did not")
        return not any(download.error for download in self.downloads)


def main():
    """Reads the options and runs."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--address", required=True)
    parser.add_argument("--port", type=int, nargs="+", required=True)
    parser.add_argument("--file", required=True, help="what the server serves")
    parser.add_argument("--path", help="under another name")
    parser.add_argument("--kind", default="plain",
                        choices=["plain", "mptcp", "fastopen", "md5", "ao", "ktls", "urgent"])
    parser.add_argument("--connections", type=int, default=1, help="to each port")
    parser.add_argument("--silent", type=int, default=0, help="how many say nothing at first")
    parser.add_argument("--rate", type=int, default=100000, help="bytes a second each")
    parser.add_argument("--go", required=True, help="the file that says that the takeover began")
    parser.add_argument("--timeout", type=float, default=120)
    options = parser.parse_args()
    with open(options.file, "rb") as file:
        options.content = file.read()
    sys.exit(not Run(options).all())


if __name__ == "__main__":
    main()
