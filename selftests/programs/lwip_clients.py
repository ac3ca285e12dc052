#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""The connections of clients.py, by lwIP: lwip_clients.py TAP ADDRESS PREFIX OPTION...

Has to run with the network that has the TAP device.
"""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

# pylint: disable=wrong-import-position
import clients
import lwip


def main():
    """Starts the stack and runs."""
    device, address, prefix = sys.argv[1:4]
    lwip.start(device, address, int(prefix))
    del sys.argv[1:4]
    clients.socket = lwip
    try:
        clients.main()
    except SystemExit as end:
        sys.stdout.flush()
        # The stack's own threads go on until the process is gone: nothing may be taken from them.
        os._exit(int(end.code))


if __name__ == "__main__":
    main()
