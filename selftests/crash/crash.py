#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""The crash test: three guests, a download, and a real kernel panic of the node that serves it.

The same scenario as make demo, with a smaller file and as TAP. Fails if the client notices: by
curl's exit status, the file's hash, or its capture. Its negative is the demo's first run, and
selftests/test_control.sh. Runs in the sandbox.
"""

import os
import shutil
import sys

from tcpfo import workload
from tcpfo.cluster import Cluster
from tcpfo.guest import GuestError
from tcpfo.scenario import Run

OUT = "/out/crash"
SIZE = 40_000_000
# What the client may wait for new bytes: far more than a takeover takes, even on a slow host.
LONGEST_WAIT_MS = 10_000


def results(folder):
    """Yields what was looked at: name, whether it held, and what was seen."""
    workload.SIZE = workload.Workload.total = SIZE
    image, hashes = workload.make_data(folder)
    with Cluster(OUT, disks=[image]) as cluster:
        run = Run(cluster, workload.Download(cluster, hashes), OUT,
                  lambda text: print("#", text, flush=True))
        outcome = run.carry_out()
        yield from outcome.checks
        yield ("one connection was restored", run.takeover.get("restored") == "1",
               str(run.takeover))
        wait_ms = run.gap["ms"] if run.gap else None
        yield (f"the client waits for new bytes for {LONGEST_WAIT_MS} ms at most",
               wait_ms is not None and wait_ms <= LONGEST_WAIT_MS, f"{wait_ms} ms")
    for line in run.events.lines(run.crashed):
        print("#", line)


def main():
    """Prints the results."""
    shutil.rmtree(OUT, ignore_errors=True)
    os.makedirs(OUT)
    folder = os.path.join(OUT, "data")
    os.makedirs(folder)
    count = failed = 0
    try:
        for name, held, seen in results(folder):
            count += 1
            failed += not held
            print(f"{'ok' if held else 'not ok'} {count} - {name}", flush=True)
            if seen:
                print("#  ", seen)
    except GuestError as error:
        count += 1
        failed += 1
        print(f"not ok {count} - the scenario can be carried out")
        print("#  ", str(error).replace("\n", "\n#   "))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(f"1..{count}")
    if failed:
        print("# captures, consoles and counters are in", OUT)
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
