# SPDX-License-Identifier: GPL-2.0
"""The benchmark on real machines, `make bench BENCH=hw`: see Documentation/bench_hw.rst.

Prints tables and writes hw.json. Exits 2 when something that it needs is missing, before anything
is changed; 1 when a workload failed, a connection was lost, or something could not be restored.
"""

import contextlib
import hashlib
import os
import signal
import sys
import time

from tcpfo.bench.clients import Clients, say
from tcpfo.bench.hw import TOP, config, needs, tell
from tcpfo.bench.hw.machines import Machines
from tcpfo.bench.hw.remote import Host
from tcpfo.bench.hw.takeovers import Takeovers
from tcpfo.bench.hw.workloads import Workloads
from tcpfo.bench.results import module_commit
from tcpfo.bench.stage import keep
from tcpfo.guest import GuestError

OUT = os.path.join(os.environ.get("TCPFO_OUT") or os.path.join(TOP, "build/out"), "bench-hw")


def refuse(lines, more=""):
    """Says one by one what is wrong, and ends."""
    for line in lines:
        print("error: " + line, file=sys.stderr)
    print(more, end="\n" if more else "", file=sys.stderr)
    sys.exit(2)


def interrupted(*_):
    """What is a mess is put in order; whoever is impatient waits."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    sys.exit("interrupted: restoring the machines")


def measure(hosts, options):
    """Returns what was measured, and what failed."""
    with Machines(hosts, options) as machines:
        clients = Clients(hosts["client"], machines.client.place)
        workloads = Workloads(machines, options, clients.note)
        workloads.carry_out()
        takeovers = Takeovers(machines, options, clients, OUT)
        takeovers.carry_out()
    if not machines.left:
        say("the machines are as they were")
    return {"workloads": workloads.summary(), "takeovers": takeovers.summary(),
            "runs": takeovers.runs, "failed": clients.failed + machines.left}


def circumstances(options, kernels):
    """What has to be known to compare with another run."""
    with open(options.module, "rb") as file:
        digest = hashlib.sha256(file.read()).hexdigest()
    return {"date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "kernel": kernels,
            "module": {"commit": module_commit(), "sha256": digest},
            "amount": options.amount._asdict(), "rounds": options.rounds}


def main():
    """Looks, says, measures, tells, keeps."""
    options, wrong = config.read(os.environ)
    if wrong:
        refuse(wrong, config.EXAMPLE)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupted)
    os.makedirs(OUT, exist_ok=True)
    with contextlib.ExitStack() as stack:
        try:
            hosts = {name: stack.enter_context(Host(name, node.destination))
                     for name, node in options.nodes.items()}
            hosts["client"] = stack.enter_context(Host("client", options.client))
            kernels, lines = needs.lacking(hosts, options)
        except GuestError as error:
            refuse([str(error)])
        if lines:
            refuse(lines)
        tell.tell_plan(hosts, options, kernels)
        result = measure(hosts, options)
    result.update(circumstances(options, kernels))
    path = os.path.join(OUT, "hw.json")
    keep(path, result)
    tell.tell_workloads(result["workloads"])
    tell.tell_takeovers(result["takeovers"])
    print("\n" + path)
    if result["failed"]:
        sys.exit("failed: " + "; ".join(result["failed"]))


if __name__ == "__main__":
    try:
        main()
    except GuestError as error:
        sys.exit(f"error: {error}")
