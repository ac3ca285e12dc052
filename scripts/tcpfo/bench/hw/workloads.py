# SPDX-License-Identifier: GPL-2.0
"""What the service does with the module absent, loaded for another port, and protecting."""

import json
import statistics

from tcpfo.bench.clients import say
from tcpfo.bench.figures import range_percent
from tcpfo.bench.load import Load
from tcpfo.guest import GuestError

VARIANTS = ("absent", "unused", "protected")
PARALLEL = 16
TIMEOUT_S = 600


def words(workload, amount, folder):
    """What selftests/bench/load.c is told."""
    if workload in ("download", "upload"):
        return f"{folder}/www/big {getattr(amount, workload + 's')}"
    return f"{folder}/www/small {getattr(amount, workload)} {PARALLEL}"


def figures(workload, one, busy_s):
    """{name: value} of one measurement. `one` is what load.c says."""
    rate = one["units"] / (one["elapsed_ns"] / 1e9)
    if workload in ("download", "upload"):
        # The first file, which load.c does not count, is work as well.
        size = one["units"] / one["times"]
        return {"mb_per_s": rate, "node_cpu_ms_per_mb": 1e3 * busy_s / (one["units"] + size)}
    found = {"per_s": rate, "node_cpu_us_each": 1e6 * busy_s / one["units"]}
    for wait in ("request", "connect"):
        for level in ("p50", "p99"):
            if f"{wait}_{level}_ns" in one:
                found[f"{wait}_{level}_us"] = one[f"{wait}_{level}_ns"] / 1e3
    return found


class Workloads:
    """All measurements: {workload: {figure: {variant: [values]}}}."""

    NAMES = ("download", "upload", "requests", "connects")

    def __init__(self, machines, config, note):
        self.machines = machines
        self.config = config
        self.note = note
        self.values = {}

    def use(self, variant):
        """Returns the port that is to be asked."""
        if variant == "absent":
            self.machines.end()
        elif variant == "unused":
            self.machines.begin()
        return self.config.port + (variant == "unused")

    def measure(self, workload, variant, port):
        """One measurement."""
        client, node = self.machines.client, self.machines.active
        folder = client.folder.path
        amount = self.config.amount
        load = Load(node.stat)
        said = client.host.run(f"ulimit -n 4096; exec {folder}/load {self.config.service.ip} "
                               f"{port} {workload} {words(workload, amount, folder)}", TIMEOUT_S)
        busy = load.seconds()
        word, _, value = said.partition(" ")
        if word != "figure":
            raise GuestError(f"{workload}, {variant}: {said}")
        one = json.loads(value)
        one["times"] = getattr(amount, workload + "s", None)
        for name, value in figures(workload, one, busy).items():
            self.values.setdefault(workload, {}).setdefault(name, {}) \
                .setdefault(variant, []).append(round(value, 3))
        if workload == "upload":
            node.guest.run(f"cd {node.folder.path} && cmp www/big store/big && rm store/big")

    def judge(self, variant):
        """What was measured since the module is there is what it is called."""
        protected, others = (int(self.machines.active.read("stats/connections_" + name))
                             for name in ("protected", "unprotected"))
        self.note((protected > 0) == (variant == "protected") and not others,
                  f"{protected} connections protected, {others} found unprotected")

    def carry_out(self):
        """All rounds. The module is there at the end, and protects."""
        for number in range(self.config.rounds):
            for variant in VARIANTS:
                port = self.use(variant)
                say(f"round {number + 1} of {self.config.rounds}: module {variant}")
                for workload in self.NAMES:
                    self.measure(workload, variant, port)
                if variant != "absent":
                    self.judge(variant)

    def summary(self):
        """Medians, and how far the rounds lie apart in percent of them."""
        result = {}
        for workload, found in self.values.items():
            result[workload] = {name: {
                variant: {"median": statistics.median(values),
                          "spread_percent": round(range_percent(values), 1),
                          "rounds": values}
                for variant, values in variants.items()} for name, variants in found.items()}
        return result
