#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""The crash test: three guests, a download, and a real kernel panic of the node that serves it.

The same scenario as make demo, with a smaller file and as TAP. Fails if the client notices: by
curl's exit status, the file's hash, or its capture. Its negative is the demo's first run, and
selftests/test_control.sh. Runs in the sandbox.
"""

import os
import shutil

from tap import note, report
from tcpfo import workload
from tcpfo.cluster import Cluster
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
        run = Run(cluster, workload.Download(cluster, hashes), OUT, note)
        outcome = run.carry_out()
        yield from outcome.checks
        yield ("one connection was restored", run.takeover.get("restored") == "1",
               str(run.takeover))
        wait_ms = run.gap["ms"] if run.gap else None
        yield (f"the client waits for new bytes for {LONGEST_WAIT_MS} ms at most",
               wait_ms is not None and wait_ms <= LONGEST_WAIT_MS, f"{wait_ms} ms")
    note("\n".join(run.events.lines(run.crashed)))


def main():
    """Prints the results."""
    shutil.rmtree(OUT, ignore_errors=True)
    folder = os.path.join(OUT, "data")
    os.makedirs(folder)
    try:
        report(results(folder), OUT)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
