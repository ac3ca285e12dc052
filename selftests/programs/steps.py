# SPDX-License-Identifier: GPL-2.0
"""How a script tells a program that it may go on: by a file that appears."""

import os
import time


def await_file(*path):
    """Waits until there is a file; its folder may be named apart."""
    while not os.path.exists(os.path.join(*path)):
        time.sleep(0.02)
