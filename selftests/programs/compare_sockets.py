#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Compares what two runs of `ss -tnieoOH` say of the same connections: what was agreed on in their
handshakes. Arguments: the two files and the client's list of lines "port NUMBER NAME".

Prints each difference; exits 1 if there was one, or if a connection is missing in one of them.
"""

import re
import sys

WORDS = {"ts", "usec_ts", "sack", "ecn"}
FIELDS = ("wscale:", "mss:", "advmss:", "pmtu:")


def sockets(path):
    """The connections of a file: what they say, by the client's port."""
    result = {}
    with open(path, encoding="ascii") as file:
        for line in file:
            words = line.split()
            ends = [word for word in words if re.fullmatch(r"\S+:\d+", word)]
            port = int(ends[1].rsplit(":", 1)[1])
            result[port] = sorted(word for word in words
                                  if word in WORDS or word.startswith(FIELDS))
    return result


def main():
    """Compares."""
    before, after = sockets(sys.argv[1]), sockets(sys.argv[2])
    different = 0
    with open(sys.argv[3], encoding="ascii") as file:
        names = {int(line.split()[1]): line.split()[2] for line in file
                 if line.startswith("port ")}
    for port, name in names.items():
        if before.get(port) is None or before.get(port) != after.get(port):
            different += 1
            print(f"{name} (port {port}): before {before.get(port)}, after {after.get(port)}")
    print(f"{len(names)} compared, {different} differ")
    sys.exit(different > 0 or not names)


if __name__ == "__main__":
    main()
