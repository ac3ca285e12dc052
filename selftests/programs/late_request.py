#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""late_request.py HOST PORT PATH FILE GO: a connection that says nothing until the file GO appears.

It has one answer then, which has to be FILE's bytes; any other end is a failure. Prints "connected"
when it is.
"""

import http.client
import sys

from steps import await_file

TIMEOUT_S = 60


def main():
    """Connects, waits, asks."""
    host, port, path, expected, go = sys.argv[1:]
    connection = http.client.HTTPConnection(host, int(port), TIMEOUT_S)
    connection.connect()
    # Nothing may connect anew behind our back.
    connection.auto_open = 0
    print("connected", flush=True)
    await_file(go)
    connection.request("GET", path)
    with open(expected, "rb") as file:
        sys.exit(connection.getresponse().read() != file.read())


if __name__ == "__main__":
    main()
