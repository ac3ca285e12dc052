# SPDX-License-Identifier: GPL-2.0
"""How long a takeover lasts for the clients: `python3 -m tcpfo.bench.takeover [SERIES...]`.

Three guests. In each run a number of downloads are under way when their node is killed by a kernel
panic; how long each paused is read from the client's capture, and what the new node did meanwhile
from its own figures. The dead node then comes back, and is the one that takes over in the next run.
Idle connections live through all of them; with a hundred thousand each run has guests of its own,
as it would take long until all that idle are carried on, and protected again.

Prints a table, keeps all runs in takeover.json in the artefact folder and a summary of each series
under `takeover` in Documentation/bench/bench.json, and draws pauses.png beside it of all series
that are there. Exits 1 if a connection was lost or got a wrong byte; then its series is not
replaced.
"""

import argparse
import os
import shutil
import sys
import time
from collections import namedtuple

from tcpfo.bench import pace, pauses, plots, results
from tcpfo.bench.clients import Clients, say
from tcpfo.bench.load import Load
from tcpfo.bench.pair import Pair
from tcpfo.bench.stage import keep, stage
from tcpfo.cluster import FIGURES
from tcpfo.scenario import Clock

# `in_a_row` is how many takeovers the same guests go through.
Series = namedtuple("Series", "name active idle runs in_a_row")
SERIES = (Series("1", 1, 0, 30, 30), Series("100", 100, 0, 30, 30), Series("1000", 1000, 0, 30, 30),
          Series("idle10000", 100, 10_000, 30, 30), Series("idle100000", 100, 100_000, 10, 1))
MEMORY = 2560
# The default of the module, and how much longer than that a client may wait.
PEER_TIMEOUT_MS, GOAL_MS = 500, 50
OUT = "/out/bench-takeover"


class Bench:
    """A cluster in which takeovers are measured."""

    def __init__(self, cluster, peer_timeout_ms):
        self.cluster = cluster
        self.clients = Clients(cluster.client)
        self.note = self.clients.note
        self.pair = Pair(cluster, "10gbit", peer_timeout_ms)

    def begin(self):
        """Makes all three guests ready."""
        self.clients.prepare()
        self.pair.begin()

    def run(self, series, number):
        """One takeover; returns its figures."""
        name = f"{series.name}-{number + 1}"
        each = pace.each(series.active)
        self.pair.set_rate(pace.rate(each))
        self.cluster.start_capture(name)
        clock = Clock(self.cluster.client)
        downloads = self.clients.start_downloads(series.active, pace.UNDER_WAY)
        self.pair.wait_ready()
        before = Load()
        time.sleep(0.5)
        steady = before.percent()
        during = Load()
        crashed = self.pair.crash()
        self.clients.wait_resumed(downloads)
        load = during.percent()
        time.sleep(1 + 1 / each)
        self.clients.stop_downloads(downloads)
        clock.stop()
        capture = self.cluster.stop_capture(name)
        return self.judge(series, capture, clock, crashed, self.pair.active.takeover_figures(),
                          {"before_percent": steady, "during_percent": load})

    def judge(self, series, capture, clock, crashed, figures, load):
        """What is kept of a run."""
        seen = pauses.Takeover(capture, 80, self.pair.standby.mac_bytes,
                               self.pair.active.mac_bytes)
        self.clients.note_takeover(seen, series.active, figures["failed"])

        def since(moment):
            return None if moment is None else round(1000 * (clock.to_host(moment) - crashed), 1)
        spread = pauses.spread(seen.pauses_ms())
        run = {"series": series.name, "died": self.pair.standby.name, "pause_ms": spread,
               "pauses_ms": seen.pauses_ms(),
               "since_crash_ms": {"last_heard": since(seen.silent),
                                  "announced": since(seen.announced),
                                  "first_segment": since(seen.spoke),
                                  "first_new_byte": since(min(seen.resumed, default=None)),
                                  "last_connection": since(max(seen.resumed, default=None))},
               "node": figures, "host": load}
        say(f"   pauses {spread}")
        say(f"   client {run['since_crash_ms']}")
        say(f"   node {figures}")
        say(f"   host {load}")
        return run

    def carry_out(self, series, numbers):
        """Some runs of a series."""
        runs = []
        idle = self.clients.open_idle(series.idle) if series.idle else None
        for number in numbers:
            if runs:
                self.pair.rejoin()
                say("   the dead node is back and ready")
            say(f"{series.name}: {series.active} downloads, {series.idle} idle, "
                f"run {number + 1} of {series.runs}")
            runs.append(self.run(series, number))
        if idle:
            self.clients.ask_idle(idle)
        reports = self.cluster.kernel_reports()
        self.note(not reports, "the kernel logs" + "; ".join(reports[:3]))
        return runs


class Measured:
    """What has become of a series: its runs, what was not as it should be, and what ran."""

    def __init__(self):
        self.runs, self.failed, self.versions = [], [], {}


def measure(series, peer_timeout_ms, deadline):
    """All runs of a series; when `deadline` is over no more guests are made for it."""
    measured = Measured()
    for first in range(0, series.runs, series.in_a_row):
        if measured.runs and time.monotonic() > deadline:
            break
        with stage(f"{OUT}/{series.name}-{first + 1}", MEMORY) as (cluster, _):
            bench = Bench(cluster, peer_timeout_ms)
            bench.begin()
            say("three guests are ready")
            measured.versions = results.versions(cluster.client)
            numbers = range(first, min(first + series.in_a_row, series.runs))
            measured.runs += bench.carry_out(series, numbers)
            measured.failed += bench.clients.failed
    return measured


def summarise(series, runs):
    """Of all runs of a series: how long connections paused, and when things happened."""
    def of(values, digits=1):
        return {name: round(value, digits) for name, value in pauses.spread(values).items()}
    summary = {"series": series.name, "active": series.active, "idle": series.idle,
               "runs": len(runs),
               "pause_ms": of(pause for run in runs for pause in run["pauses_ms"]),
               "slowest_ms": of(run["pauses_ms"][-1] for run in runs if run["pauses_ms"]),
               "host_percent": of(run["host"]["during_percent"] for run in runs)}
    for name in runs[0]["since_crash_ms"]:
        summary[name + "_ms"] = of(run["since_crash_ms"][name] for run in runs
                                   if run["since_crash_ms"][name] is not None)
    for name in FIGURES:
        if name.endswith("_us"):
            summary["node_" + name[:-3] + "_ms"] = of(run["node"][name] / 1000 for run in runs)
    summary["kilobytes_absorbed"] = of(run["node"]["bytes_absorbed"] / 1e3 for run in runs)
    return summary


COLUMNS = (("pause_ms", "p50"), ("pause_ms", "p99"), ("pause_ms", "max"),
           ("node_detected_ms", "p50"), ("node_address_ms", "p50"), ("node_first_socket_ms", "p50"),
           ("node_last_socket_ms", "p50"), ("node_last_splice_ms", "p50"),
           ("first_new_byte_ms", "p50"), ("last_connection_ms", "p50"))
WIDTHS = (7, 7, 7, 9, 9, 9, 9, 9, 9, 9)
HEAD = """
pause: of a client, ms; node: ms since the peer was heard; client: ms since the crash (medians)

                  pause   pause   pause      node      node     first      last      last
 active    idle     p50     p99     max  detected   address    socket    socket    splice
client: first and last connection to go on, after the figures of the node"""


def table(summary):
    """For people."""
    lines = [HEAD]
    for one in summary:
        cells = [f"{one[name][level]:{width}.0f}"
                 for (name, level), width in zip(COLUMNS, WIDTHS)]
        lines.append(f"{one['active']:7} {one['idle']:7} " + " ".join(cells))
    return "\n".join(lines)


def publish(summary, versions):
    """Replaces what was known of a series, and draws all of them."""
    known = results.load().get("takeover", {"series": {}})
    known["series"][summary["series"]] = summary | versions
    known["peer_timeout_ms"] = PEER_TIMEOUT_MS
    known["goal_ms"] = PEER_TIMEOUT_MS + GOAL_MS
    results.store("takeover", known)
    plots.draw_pauses(results.picture("pauses.png"), list(known["series"].values()),
                      known["peer_timeout_ms"], known["goal_ms"])


def main():
    """See the top."""
    parser = argparse.ArgumentParser()
    parser.add_argument("series", nargs="*", default=[series.name for series in SERIES])
    parser.add_argument("--runs", type=int, help="of each, instead of its own number")
    parser.add_argument("--minutes", type=float, default=float("inf"),
                        help="after which no more guests are made, where each run has its own")
    parser.add_argument("--peer-timeout", type=int, default=PEER_TIMEOUT_MS, metavar="MS",
                        help="longer on a host so busy that nodes take one another for dead")
    options = parser.parse_args()
    timeout = options.peer_timeout
    deadline = time.monotonic() + 60 * options.minutes
    chosen = [series for series in SERIES if series.name in options.series]
    if unknown := set(options.series) - {series.name for series in chosen}:
        parser.error("no such series: " + " ".join(sorted(unknown)))
    if options.runs:
        chosen = [series._replace(runs=options.runs) for series in chosen]
    shutil.rmtree(OUT, ignore_errors=True)
    runs, summary, failed = [], [], False
    for series in chosen:
        measured = measure(series, timeout, deadline)
        runs += measured.runs
        summary.append(summarise(series, measured.runs))
        # Some of these take hours: what is there is kept if another one breaks.
        keep(os.path.join(OUT, "takeover.json"),
             {"peer_timeout_ms": timeout, "segments_per_second": pace.SEGMENTS,
              "summary": summary, "runs": runs})
        failed = failed or bool(measured.failed)
        if timeout == PEER_TIMEOUT_MS and not measured.failed:
            publish(summary[-1], measured.versions)
    print(table(summary))
    sys.exit(failed)


if __name__ == "__main__":
    main()
