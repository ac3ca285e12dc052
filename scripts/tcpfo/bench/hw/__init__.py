# SPDX-License-Identifier: GPL-2.0
"""The part of the benchmark that runs on real machines: see Documentation/bench_hw.rst."""

import os

# The checkout.
TOP = os.path.abspath(os.path.join(os.path.dirname(__file__), "../../../.."))
