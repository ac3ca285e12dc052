#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""The same on each of several ports: a connection within an answer, one within an upload,
and an idle one. Steps of the test as in states_client.py.
"""

import argparse

import stream_client
from states_client import answered, mid_body, mid_response


def main():
    """Reads the options and runs."""
    parser = stream_client.parse()
    parser.add_argument("--ports", type=int, nargs="+", required=True)
    options = parser.parse_args()
    scenarios = []
    for port in options.ports:
        its_own = argparse.Namespace(**{**vars(options), "port": port})
        for scenario in (mid_response, mid_body, answered):
            name = f"{scenario.__name__}_{port}"
            scenarios.append((name, scenario, stream_client.Connection(its_own, name)))
    stream_client.run(options, scenarios)


if __name__ == "__main__":
    main()
