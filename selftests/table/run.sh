#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# run.sh: the tests of the table of results, as TAP. Runs in the sandbox.

set -euo pipefail
exec python3 "$(dirname "$0")/tests.py"
