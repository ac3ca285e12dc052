# SPDX-License-Identifier: GPL-2.0
"""What the death of a node costs the client of one large download: `python3 -m tcpfo.bench.retry`.

Three guests, the network of the demo (100 Mbit/s). The same download is timed undisturbed; with its
node killed half-way and without the module, when the other node is given the address as soon as the
module would have taken it and the client begins again; and with the module. Beside that, how fast a
node regenerates and absorbs what the client has is set against how fast it sends the same file over
a network that is not slowed down.

Keeps its result under `retry` in Documentation/bench/bench.json, and draws progress.png beside it.
Exits 1 if a file was not whole, if a connection failed at the new node, or if a client began again
where it had not to, or did not where it had to; then nothing is replaced.
"""

import argparse
import os
import sys
import time

from tcpfo import progress, scenario
from tcpfo.bench import plots, results
from tcpfo.bench.clients import Clients, say
from tcpfo.bench.pair import Pair
from tcpfo.bench.pauses import spread
from tcpfo.bench.stage import keep, stage
from tcpfo.cluster import SERVICE_ADDRESS
from tcpfo.workload import CURL, SIZE

OUT = "/out/bench-retry"
MEMORY = 1024
RUNS = 3
HALF = SIZE // 2
# After how much silence the module takes the address, in seconds, and the other node without it.
DETECTION = 0.5
# How many points of a client's progress are kept.
POINTS = 200
# Begins again until the file is there; says how long that took, how often it has begun, and how
# many bytes came in all.
CLIENT = f"""
    begin=$EPOCHREALTIME; tries=0; total=0
    while :; do
        tries=$((tries + 1))
        count=$({CURL} -o /tmp/got -w '%{{size_download}}' http://{SERVICE_ADDRESS}/big)
        code=$?
        total=$((total + count))
        [ "$code" != 0 ] || break
    done
    end=$EPOCHREALTIME
    echo $((${{end/./}} - ${{begin/./}})) $tries $total $(sha256sum /tmp/got | cut -d' ' -f1)"""
UNTIL_HALF = (f"until [ $(stat -c %s /tmp/got 2>/dev/null || echo 0) -ge {HALF} ]; "
              "do sleep 0.02; done")


class Bench:
    """A cluster in which downloads are timed."""

    def __init__(self, cluster, digest):
        self.cluster = cluster
        self.client = cluster.client
        self.clients = Clients(cluster.client)
        self.pair = Pair(cluster)
        self.digest = digest
        self.progress = {}

    def download(self, name, disturb=None, again=False):
        """One download, disturbed half-way; returns what is to be known of it. `again` says that it
        is to be begun again."""
        # Before the client runs: an earlier file has its half at once.
        self.client.run("rm -f /tmp/got")
        if name:
            self.cluster.start_capture(name)
        running = self.client.start_command(CLIENT)
        if disturb:
            self.client.run(UNTIL_HALF, timeout=120)
            disturb()
        running.wait(180)
        took, tries, total, digest = running.output.split()[-4:]
        found = {"seconds": round(int(took) / 1e6, 3), "tries": int(tries),
                 "bytes_again": int(total) - SIZE}
        self.clients.note(digest == self.digest and (found["tries"] > 1) == again,
                          f"{name or 'a fast network'}: {found}")
        if name:
            self.progress[name] = self.curves(self.cluster.stop_capture(name))
        return found

    @staticmethod
    def curves(capture):
        """Of each connection, [(seconds, bytes so far)]."""
        curves, zero = {}, None
        for step in progress.steps(capture, 80):
            if zero is None:
                zero = step.time
            points = curves.setdefault(step.client, [])
            if step.count:
                points.append((round(step.time - zero, 3),
                               (points[-1][1] if points else 0) + step.count))
        return [points[::max(1, len(points) // POINTS)] + points[-1:]
                for points in curves.values() if points]

    def lose(self):
        """Node a dies; node b has the address as soon as the module would have it."""
        self.cluster.crash(self.cluster.a)
        time.sleep(DETECTION)
        self.cluster.b.claim_service_address()

    def without(self, runs):
        """Undisturbed, and lost and begun again."""
        for node in self.cluster.nodes:
            self.pair.start_server(node)
        self.cluster.a.claim_service_address()
        say("a fast network, undisturbed")
        plain = [self.download("") for _ in range(runs)]
        scenario.shape(self.cluster)
        say("undisturbed")
        undisturbed = [self.download("undisturbed") for _ in range(runs)]
        lost = []
        for _ in range(runs):
            say("without the module, its node dies")
            lost.append(self.download("lost", self.lose, again=True))
            self.cluster.revive(self.cluster.a)
            self.cluster.b.guest.run(f"ip addr del {SERVICE_ADDRESS}/32 dev eth0")
            self.pair.start_server(self.cluster.a)
            self.cluster.a.claim_service_address()
            scenario.shape(self.cluster)
        for node in self.cluster.nodes:
            self.pair.stop_server(node)
        return plain, undisturbed, lost

    def protected(self, runs):
        """With the module; returns the downloads, and of each how fast it was regenerated."""
        self.pair.begin()
        found, speeds = [], []
        for _ in range(runs):
            scenario.shape(self.cluster)
            say("with the module, its node dies")
            found.append(self.download("protected", self.pair.crash))
            figures = self.pair.active.takeover_figures()
            self.clients.note(figures["failed"] == 0, f"{figures['failed']} failed at the node")
            took = figures["last_splice_us"] - figures["first_socket_us"]
            speeds.append(round(figures["bytes_absorbed"] / took, 1))
            say(f"   {speeds[-1]} MB/s regenerated and absorbed")
            self.pair.rejoin()
        return found, speeds

    def carry_out(self, runs):
        """All of it."""
        self.clients.prepare()
        plain, undisturbed, lost = self.without(runs)
        protected, speeds = self.protected(runs)
        return {"bytes": SIZE, "killed_at": HALF, "undisturbed": undisturbed, "lost": lost,
                "protected": protected,
                "progress": self.progress,
                "sent_mb_per_s": spread(round(SIZE / 1e6 / run["seconds"], 1) for run in plain),
                "absorbed_mb_per_s": spread(speeds)}


def main():
    """See the top."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=RUNS)
    options = parser.parse_args()
    with stage(OUT, MEMORY) as (cluster, hashes):
        bench = Bench(cluster, hashes["big"])
        result = bench.carry_out(options.runs) | results.versions(cluster.client)
    keep(os.path.join(OUT, "retry.json"), result)
    if bench.clients.failed:
        sys.exit(1)
    # The picture is enough of how far each had come when.
    progress_of_all = result.pop("progress")
    results.store("retry", result)
    plots.draw_progress(results.picture("progress.png"), progress_of_all, SIZE)


if __name__ == "__main__":
    main()
