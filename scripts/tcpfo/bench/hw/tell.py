# SPDX-License-Identifier: GPL-2.0
"""Tells people what was measured on real machines."""

from tcpfo.bench.hw.workloads import VARIANTS
from tcpfo.bench.tables import table

LEVELS = ("p50", "p99", "max")
UNITS = {"mb_per_s": "MB/s", "node_cpu_ms_per_mb": "ms of the node's processors per MB",
         "per_s": "per second", "node_cpu_us_each": "us of the node's processors each",
         "request_p50_us": "us for an answer, p50", "request_p99_us": "us for an answer, p99",
         "connect_p50_us": "us for a connect, p50", "connect_p99_us": "us for a connect, p99"}


def tell_workloads(workloads):
    """Medians, ratios, spread."""
    rows = []
    for workload, found in workloads.items():
        for name, variants in found.items():
            medians = [variants[variant]["median"] for variant in VARIANTS]
            ratios = [f"{value / medians[0]:.3f}" if medians[0] else "" for value in medians[1:]]
            rows.append([f"{workload}: {UNITS[name]}", *medians, *ratios,
                         max(variants[variant]["spread_percent"] for variant in VARIANTS)])
    table("By the clock on the wall: module absent, loaded but not for this port, protecting; "
          "medians of the rounds",
          ["workload", *VARIANTS, "unused/", "protected/", "range %"], rows)


def tell_takeovers(takeovers):
    """Pauses, and what the nodes say."""
    if not takeovers:
        return
    rows = [[one["kind"], one["downloads"], one["runs"],
             *(one["pause_ms"].get(level, "") for level in LEVELS),
             *(one[name]["p50"] / 1000 for name in
               ("detected_us", "address_us", "last_socket_us", "last_splice_us"))]
            for one in takeovers]
    table("Takeovers: pauses of downloads in ms; medians of what nodes say, in ms since the peer "
          "was heard",
          ["", "downloads", "runs", *("pause " + level for level in LEVELS), "detected", "address",
           "last socket", "last splice"], rows)


def tell_plan(hosts, config, kernels):
    """What is going to be done, to which machines."""
    for name, host in hosts.items():
        print(f"{name}: {host.destination}, Linux {kernels[name]}")
    print(f"""\
On each node: a folder in /dev/shm with a copy of the module, two files, and nginx of its own on
ports {config.port} and {config.port + 1}; the module; {config.service} on its device; for takeovers
a queueing discipline there. On the client: a folder in /dev/shm.
{config.rounds} rounds of workloads. With 1 and with 100 downloads each: {config.runs} handovers,
{config.cuts} times a node cut off from both networks for some seconds by nftables (its other
networks stay), and {config.crashes} kernel panics with a reboot. All of it is taken away at the
end, also when this is interrupted.""", flush=True)
