# SPDX-License-Identifier: GPL-2.0
"""What protection costs, by counted instructions: `python3 -m tcpfo.bench.cost`.

One guest with one processor, whose clock counts instructions; client, switch and both nodes are
net namespaces of it. With --short there are fewer rounds and connections; --connections says how
many idle ones there are at most. Prints tables, keeps all measurements in the artefact folder and
the summary under `cost` in Documentation/bench/bench.json, and draws cost.png beside it. Fails only
when a workload does.
"""

import argparse
import json
import os
import sys
import time

from tcpfo.bench import results
from tcpfo.bench.figures import Figures
from tcpfo.bench.stage import keep
from tcpfo.bench.tables import tell
from tcpfo.guest import Guest

MEMORY = 4096
# Rounds, and idle connections at most.
FULL, SHORT = (5, 30_000), (2, 2_000)
TIMEOUT_S = 7200
OUT = "/out/bench-cost"


class Listener:
    """Sorts what the guest prints."""

    def __init__(self):
        self.rest = ""
        self.measurements = []
        self.began = time.monotonic()

    def __call__(self, text):
        *lines, self.rest = (self.rest + text).split("\n")
        for line in lines:
            word, _, value = line.partition(" ")
            if word != "figure":
                print(line, flush=True)
                continue
            one = json.loads(value)
            self.measurements.append(one)
            print(f"[{time.monotonic() - self.began:6.1f}] {one['pass']}: {one['workload']}, "
                  f"{one['variant']}", file=sys.stderr, flush=True)


def measure(rounds, connections):
    """Runs the guest; returns its measurements, and what it has measured."""
    listener = Listener()
    with Guest("bench", memory=MEMORY, out=OUT, counting=True) as guest:
        guest.wait_ready()
        versions = results.versions(guest)
        code = guest.start_command(f"/src/selftests/bench/cost.sh {rounds} {connections}",
                                   sink=listener).wait(TIMEOUT_S)
    if code:
        sys.exit(f"a workload failed ({code})")
    return listener.measurements, versions


def main():
    """Measures, tells, keeps."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--connections", type=int)
    options = parser.parse_args()
    rounds, connections = SHORT if options.short else FULL
    connections = options.connections or connections
    measurements, versions = measure(rounds, connections)
    keep(os.path.join(OUT, "measurements.json"), measurements)
    summary = Figures(measurements).summary() | versions
    summary["short"] = options.short
    tell(summary)
    results.store("cost", summary)
    # pylint: disable=import-outside-toplevel # it takes a while, and is not needed to measure
    from tcpfo.bench.ratios import draw
    draw(results.picture("cost.png"), summary)


if __name__ == "__main__":
    main()
