# SPDX-License-Identifier: GPL-2.0
"""What an idle connection costs in the kernel's memory: `python3 -m tcpfo.bench.memory`.

Three guests. The same number of keep-alive connections is opened twice: to node a without the
module, and with it, protected by node b. The kernel's memory of each node is taken before and
after; what node a needs more the second time is the primary's cost, what node b needs the backup's,
where there are no sockets. The bytes of the clients that are logged are named and not part of it.

Keeps its result under `memory` in Documentation/bench/bench.json, unless a connection was lost.
"""

import argparse
import sys

from tcpfo.bench import results
from tcpfo.bench.clients import Clients, say
from tcpfo.bench.pair import Pair
from tcpfo.bench.stage import stage

CONNECTIONS = 100_000
MEMORY = 4096
OUT = "/out/bench-memory"
GOALS = {"primary": 1024, "backup": 512}
# Whatever belongs to processes or to files.
OTHERS = ("MemFree", "Buffers", "Cached", "AnonPages", "PageTables")


def measure(guest):
    """(bytes of the kernel, {cache: bytes of its slabs}) of a guest."""
    text = guest.run("""
        sync
        # What is free, but lies about, is given back.
        echo 3 >/proc/sys/vm/drop_caches; echo 1 >/proc/sys/vm/compact_memory
        cat /proc/meminfo; cat /proc/slabinfo""")
    memory, slabs = {}, {}
    for line in text.splitlines():
        words = line.split()
        if line.startswith("#") or line.startswith("slabinfo"):
            continue
        if words[0].endswith(":"):
            memory[words[0][:-1]] = int(words[1]) * 1024
        elif len(words) > 15:
            # name active objects size objperslab pagesperslab : ... : slabdata active slabs shared
            slabs[words[0]] = int(words[14]) * int(words[5]) * 4096
    return memory["MemTotal"] - sum(memory[name] for name in OTHERS), slabs


def difference(before, after, number):
    """Bytes for each connection: (in all, {cache: bytes})."""
    grown = {name: (size - before[1].get(name, 0)) / number for name, size in after[1].items()}
    return (after[0] - before[0]) / number, grown


def told(caches):
    """Those caches that matter, the largest first."""
    return {name: round(size, 1)
            for name, size in sorted(caches.items(), key=lambda item: -item[1]) if abs(size) >= 4}


def cost(whole, slabs, logged):
    """Bytes for each connection without what is logged, at least. The kernel as a whole may have
    given back, or taken, what has nothing to do with connections: it is never less than what its
    slabs have grown by."""
    return round(max(whole, sum(slabs.values())) - logged)


class Bench:
    """A cluster whose memory is measured."""

    def __init__(self, cluster, number):
        self.cluster = cluster
        self.clients = Clients(cluster.client)
        # Whether a node of a busy host is late is none of this benchmark's business.
        self.pair = Pair(cluster, peer_timeout_ms=10_000)
        self.number = number

    def open(self, nodes, ready):
        """Opens all connections; returns the difference in each node's memory."""
        before = [measure(node.guest) for node in nodes]
        idle = self.clients.open_idle(self.number)
        ready()
        found = [difference(old, measure(node.guest), self.number)
                 for old, node in zip(before, nodes)]
        self.clients.ask_idle(idle)
        return found

    def without(self):
        """The connections of an unprotected server."""
        node = self.cluster.a
        node.add_service_address()
        self.pair.start_server(node)
        [found] = self.open([node], lambda: None)
        # Until their last sockets have ended.
        node.guest.run("until [ $(ss -Htan state connected | wc -l) -lt 100 ]; do sleep 0.5; done",
                       timeout=120)
        self.pair.stop_server(node)
        return found

    def protected(self):
        """The same with the module."""
        self.pair.begin()
        nodes = self.cluster.nodes
        before = int(self.cluster.a.read("stats/bytes_logged"))

        def ready():
            # Each has come to rest, and node b has heard of that.
            for node, name in (self.cluster.a, "stats/rests"), (self.cluster.b,
                                                                 "services/web/connections"):
                node.guest.run(f"cd /sys/kernel/tcp_failover/net; "
                               f"until [ $(cat {name}) -ge {self.number} ]; do sleep 0.5; done",
                               timeout=300)
        found = self.open(nodes, ready)
        logged = int(self.cluster.a.read("stats/bytes_logged")) - before
        return found, logged / self.number

    def carry_out(self):
        """Both; returns what is kept."""
        self.clients.prepare()
        say(f"{self.number} connections without the module")
        plain, plain_slabs = self.without()
        say(f"   {plain:.0f} bytes each at node a")
        say("and with it")
        ((primary, primary_slabs), (backup, backup_slabs)), logged = self.protected()
        slabs = {name: primary_slabs.get(name, 0) - plain_slabs.get(name, 0)
                 for name in {*primary_slabs, *plain_slabs}}
        result = {"connections": self.number, "guest_mb": MEMORY, "goals": GOALS,
                  "logged_bytes": round(logged, 1), "plain": round(plain),
                  "primary": cost(primary - plain, slabs, logged),
                  "backup": cost(backup, backup_slabs, logged),
                  "primary_whole": round(primary - plain), "backup_whole": round(backup),
                  "primary_caches": told(slabs), "backup_caches": told(backup_slabs)}
        say(f"   {result}")
        return result


def main():
    """See the top."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--connections", type=int, default=CONNECTIONS)
    options = parser.parse_args()
    with stage(OUT, MEMORY) as (cluster, _):
        bench = Bench(cluster, options.connections)
        result = bench.carry_out() | results.versions(cluster.client)
    if bench.clients.failed:
        sys.exit(1)
    results.store("memory", result)


if __name__ == "__main__":
    main()
