#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""keepalive.py HOST PORT PATH FILE FOLDER: one request after another on one connection.

Each answer has to be FILE's bytes. FOLDER/answers tells how many came so far; ends well when
FOLDER/stop appears, with the number of answers on its output. Any other end of the connection, and
an answer that differs, is a failure.
"""
import os
import socket
import sys
import time

TIMEOUT_S = 60
# Between an answer and the next request: the machine is to have time for others, too.
PAUSE_S = 0.02


def read_answer(stream):
    """Returns the body of the next answer."""
    status = stream.readline()
    if not status.startswith(b"HTTP/1.1 200 "):
        raise ValueError(f"answered {status!r}")
    length = None
    while (line := stream.readline().strip()):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    return stream.read(length)


def main():
    host, port, path, expected, folder = sys.argv[1:]
    with open(expected, "rb") as file:
        expected = file.read()
    answers = 0
    with socket.create_connection((host, int(port)), TIMEOUT_S) as connection:
        stream = connection.makefile("rb")
        while not os.path.exists(f"{folder}/stop"):
            connection.sendall(f"GET {path}?{answers} HTTP/1.1\r\nHost: test\r\n\r\n".encode())
            body = read_answer(stream)
            if body != expected:
                raise ValueError(f"answer {answers} is not the file: {len(body)} bytes")
            answers += 1
            with open(f"{folder}/answers.new", "w", encoding="ascii") as file:
                file.write(str(answers))
            os.rename(f"{folder}/answers.new", f"{folder}/answers")
            time.sleep(PAUSE_S)
    print(answers)


if __name__ == "__main__":
    main()
