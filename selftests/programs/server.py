#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""A server of one file over HTTP, whose listener is as odd as it is asked to be.

What it answers depends on nothing but the file: neither on the time nor on the node.
"""

import argparse
import os
import socket
import struct
import threading
import time

# From linux/tcp.h and linux/in.h; not in every version of the socket module.
TCP_FASTOPEN = 23
TCP_MD5SIG = 14
IPPROTO_MPTCP = 262
KEY = b"a key of the test"


def sign(sock, address):
    """Has the socket sign what it sends to the address, and take nothing unsigned from it."""
    peer = struct.pack("=H2s4s", socket.AF_INET, b"", socket.inet_aton(address))
    sock.setsockopt(socket.IPPROTO_TCP, TCP_MD5SIG,
                    struct.pack("=128sBBHi80s", peer, 0, 0, len(KEY), 0, KEY))


def serve(connection, answer):
    """Answers the requests of one connection until it ends."""
    request = b""
    try:
        while True:
            data = connection.recv(4096)
            if not data:
                break
            request += data
            while b"\r\n\r\n" in request:
                _, request = request.split(b"\r\n\r\n", 1)
                connection.sendall(answer)
    except OSError:
        pass
    connection.close()


def main():
    """Reads the options and serves."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--file", required=True, help="the answer to every request")
    parser.add_argument("--backlog", type=int, default=64)
    parser.add_argument("--pause", type=float, default=0, help="seconds after each accept()")
    parser.add_argument("--wait-for", metavar="FILE", help="listen only when that is there")
    parser.add_argument("--mptcp", action="store_true")
    parser.add_argument("--fastopen", action="store_true")
    parser.add_argument("--sign-for", metavar="ADDRESS", help="whose segments are signed (TCP-MD5)")
    options = parser.parse_args()
    with open(options.file, "rb") as file:
        content = file.read()
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(content) + content
    threading.stack_size(256 * 1024)
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM,
                             IPPROTO_MPTCP if options.mptcp else 0)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if options.fastopen:
        listener.setsockopt(socket.IPPROTO_TCP, TCP_FASTOPEN, 16)
    if options.sign_for:
        sign(listener, options.sign_for)
    while options.wait_for and not os.path.exists(options.wait_for):
        time.sleep(0.05)
    listener.bind(("", options.port))
    listener.listen(options.backlog)
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=serve, args=(connection, answer), daemon=True).start()
        time.sleep(options.pause)


if __name__ == "__main__":
    main()
