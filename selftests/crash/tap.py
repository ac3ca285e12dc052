# SPDX-License-Identifier: GPL-2.0
"""What a test looks at, as TAP."""

import sys

from tcpfo.guest import GuestError


def note(text):
    """For whoever reads it, line by line."""
    for line in text.splitlines():
        print("#", line, flush=True)


def report(results, folder):
    """Prints results as they come, each of which is a name, whether it held, and what was seen.
    Ends the program; `folder` has what a failure leaves behind."""
    count = failed = 0

    def result(name, held, seen):
        nonlocal count, failed
        count += 1
        failed += not held
        print(f"{'ok' if held else 'not ok'} {count} - {name}", flush=True)
        note(str(seen or ""))

    try:
        for name, held, seen in results:
            result(name, held, seen)
    except GuestError as error:
        result("the scenario can be carried out", False, error)
    print(f"1..{count}")
    if failed:
        note(f"what is left of it is in {folder}")
    sys.exit(failed > 0)
