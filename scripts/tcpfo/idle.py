#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""idle.py ADDRESS PORT NUMBER FILE: runs in a guest; opens keep-alive connections, asks once over
each, makes FILE.ready, is silent until FILE.go is there, then asks again over each.

Prints how many answered both times with the same bytes; fails if it was not all.
"""

import os
import socket
import sys
import time

REQUEST = b"GET /many/001 HTTP/1.1\r\nHost: idle\r\nRange: bytes=0-99\r\n\r\n"
SECONDS = 40


def ask(connection):
    """One request; returns the body of the answer."""
    connection.sendall(REQUEST)
    answer = b""
    while b"\r\n\r\n" not in answer:
        data = connection.recv(4096)
        if not data:
            raise ConnectionError("closed")
        answer += data
    head, body = answer.split(b"\r\n\r\n", 1)
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            length = int(line.split(b":")[1])
    while len(body) < length:
        data = connection.recv(4096)
        if not data:
            raise ConnectionError("closed")
        body += data
    return body


def main():
    """See the top."""
    address, port, number, path = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    connections = [socket.create_connection((address, port), SECONDS) for _ in range(number)]
    first = [ask(connection) for connection in connections]
    with open(path + ".ready", "w", encoding="ascii"):
        pass
    while not os.path.exists(path + ".go"):
        time.sleep(0.2)
    good, errors = 0, set()
    for connection, before in zip(connections, first):
        try:
            good += ask(connection) == before
        except OSError as error:
            errors.add(str(error))
    print(f"{good} of {number}", "; ".join(sorted(errors)))
    sys.exit(good != number)


if __name__ == "__main__":
    main()
