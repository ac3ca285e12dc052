# SPDX-License-Identifier: GPL-2.0
"""make demo: a client's transfer survives the death of its server. See scripts/demo.

Boots the cluster, runs the scenario without the module, when it must fail, and with it, and tells
it in a way that a person can read.
"""

import fcntl
import os
import shutil
import sys
import tempfile
import time

from tcpfo.cluster import Cluster
from tcpfo.guest import GuestError
from tcpfo.scenario import Run, control
from tcpfo.workload import SIZE, WORKLOADS, make_data

STARTED = time.monotonic()


def say(text):
    """A line of progress, with the seconds since the start."""
    print(f"[{time.monotonic() - STARTED:5.1f}] {text}", flush=True)


def show(run, outcome):
    """The report."""
    print("\nTimeline (seconds since the crash)")
    for line in run.events.lines(run.crashed):
        print(" ", line)
    absorbed = run.takeover.get("bytes_absorbed")
    if absorbed:
        print(f"  fast-forwarded: {int(absorbed):,} bytes that the client already had")
    if run.waits:
        print(f"  waited at the crash: {run.waits[-1][0]:.3f} s" + (
            f" at most, {run.waits[len(run.waits) // 2][0]:.3f} s in the median, "
            f"of {len(run.waits)} connections" if len(run.waits) > 1 else ""))
    if run.gap:
        print(f"  longest gap the client saw in the whole run: {run.gap['ms'] / 1000:.3f} s")
    print("\nChecks")
    for expected, held, seen in outcome.checks:
        print(f"  {'ok    ' if held else 'FAILED'}  {expected}" + (f" ({seen})" if seen else ""))


def demonstrate(mode, out):
    """Both runs; returns whether everything held."""
    say(f"demo: {mode}, {SIZE // 1000000} MB; booting three guests of the stock kernel")
    with tempfile.TemporaryDirectory() as folder:
        image, hashes = make_data(folder)
        with Cluster(out, disks=[image], memory=1024, client_memory=1024) as cluster:
            say(f"   kernel {cluster.client.run('uname -r').strip()}: client, a and b are up")
            say("1. without the module: node a serves, is killed half-way, b takes its address")
            lost = control(cluster, WORKLOADS[mode](cluster, hashes))
            for expected, held, seen in lost.checks:
                if not held:
                    say(f"   not so: {expected} ({seen})")
            say("   it survived?" if lost.good else "   as expected: the transfer is lost")
            say("   node a reboots")
            cluster.revive(cluster.a)
            say("2. with the module on both nodes, configured through sysfs")
            run = Run(cluster, WORKLOADS[mode](cluster, hashes), out,
                      lambda text: say("   " + text))
            outcome = run.carry_out()
    outcome.checks.insert(0, ("without the module the transfer is lost", not lost.good, ""))
    show(run, outcome)
    return outcome.good


def main():
    """See the top."""
    mode = os.environ.get("DEMO") or "download"
    if mode not in WORKLOADS:
        sys.exit(f"error: DEMO={mode}: choose one of {', '.join(WORKLOADS)}")
    out = f"/out/demo-{mode}"
    with open(out + ".lock", "w", encoding="ascii") as lock:
        # Two demos at once would write to the same folder.
        fcntl.flock(lock, fcntl.LOCK_EX)
        shutil.rmtree(out, ignore_errors=True)
        os.makedirs(out)
        try:
            good = demonstrate(mode, out)
        except GuestError as error:
            print(f"error: {error}")
            good = False
    folder = os.path.join(os.environ.get("TCPFO_OUT_HOST", "/out"), os.path.basename(out))
    print(f"\nCaptures, serial logs, counters and progress.png are in {folder}")
    print("The demo held." if good else "THE DEMO FAILED.")
    sys.exit(not good)


if __name__ == "__main__":
    main()
