# SPDX-License-Identifier: GPL-2.0
"""What the measurements of selftests/bench/cost.sh mean: instructions per unit of work.

A measurement is a dictionary, as the guest prints it. The guest's nanoseconds are instructions: two
each. What goes on without any work (heartbeats, ticks) is measured by an idle minute and taken off,
as it costs per second, and a second of this guest is a small part of a real one's instructions.
"""

import statistics

NS_PER_INSTRUCTION = 2
UNITS = {"download": "MB", "upload": "MB", "requests": "request", "connects": "connection"}
# Of the module; "empty" is without it, but with empty hooks where it has its own.
VARIANTS = ("absent", "empty", "unused", "protected")
# So many at a time; one, where it is about latency.
PARALLEL = {"requests": 16, "connects": 16}
# The goals: protected over absent.
GOALS = {"download": 1.01, "upload": 1.30, "requests": 1.08, "connects": 1.15}
GOAL_UNUSED = 1.002
# A handover is to be so many times cheaper than the same in user space.
GOAL_MOVES = 10
CHANNEL = ("channel_tx_bytes", "channel_rx_bytes", "channel_tx_packets", "channel_rx_packets")
OWNERS = ("client", "switch", "a", "b", "director")


def median(values):
    """Of none there is none."""
    values = list(values)
    return statistics.median(values) if values else None


def range_percent(values):
    """How far they lie apart: the largest less the smallest, in per cent of the median."""
    middle = median(values)
    return 100 * (max(values) - min(values)) / middle if middle else 0.0


class Figures:
    """All measurements of a run."""

    def __init__(self, measurements):
        self.all = measurements

    def select(self, workload, variant, which="cost", parallel=None, held=0):
        """Those of a kind."""
        return [one for one in self.all
                if (one["workload"], one["variant"], one["pass"]) == (workload, variant, which)
                and one["held"] == held and (parallel is None or
                                             (one["parallel"] == 1) == (parallel == 1))]

    def background(self, variant, which="cost", held=0):
        """The share of its time that the processor has to do without any work."""
        return median(one["run_ns"] / one["elapsed_ns"]
                      for one in self.select("idle", variant, which, held=held))

    def per_idle_second(self, variant, which="cost", held=0):
        """The same in instructions."""
        return round(self.background(variant, which, held) * 1e9 / NS_PER_INSTRUCTION)

    def costs(self, workload, variant, **kind):
        """Instructions per unit, one figure for each round."""
        share = self.background(variant) or 0
        return [((1 - share) * one["elapsed_ns"] - one["idle_ns"]) / one["units"]
                / NS_PER_INSTRUCTION for one in self.select(workload, variant, **kind)]

    def channel(self, workload):
        """Bytes and packets of the channel per unit, less those of an idle node."""
        ones = self.select(workload, "protected", parallel=PARALLEL.get(workload))
        idle = self.select("idle", "protected")
        told = {}
        for counter in CHANNEL:
            per_ns = median(one[counter] / one["elapsed_ns"] for one in idle) or 0
            told[counter] = median((one[counter] - per_ns * one["elapsed_ns"]) / one["units"]
                                   for one in ones)
        return {counter: round(value, 2) for counter, value in told.items()}

    def workload(self, workload):
        """One line of the table."""
        costs = {variant: self.costs(workload, variant, parallel=PARALLEL.get(workload))
                 for variant in VARIANTS}
        absent = median(costs["absent"])
        return {
            "unit": UNITS[workload], "rounds": len(costs["absent"]),
            "instructions": {variant: round(median(values)) for variant, values in costs.items()},
            **{f"{variant}_over_absent": round(median(costs[variant]) / absent, 4)
               for variant in VARIANTS[1:]},
            "spread_percent": {variant: round(range_percent(values), 2)
                               for variant, values in costs.items()},
            "goal": GOALS[workload], "goal_unused": GOAL_UNUSED}

    def latency(self, workload):
        """Of a connection alone and of 16: milliseconds of the guest."""
        told = {}
        for parallel in (1, 16):
            for wait in ("request", "connect") if workload == "connects" else ("request",):
                for level in ("p50", "p99"):
                    for variant in ("absent", "protected"):
                        value = median(one[f"{wait}_{level}_ns"] for one in self.select(
                            workload, variant, parallel=parallel))
                        told.setdefault(f"{wait}_{parallel}_{level}", {})[variant] = \
                            round(value / 1000, 1)
        return told

    def split(self, workload):
        """Who pays, in instructions per unit."""
        told = {}
        for variant in ("absent", "protected"):
            ones = self.select(workload, variant, "split")
            share = told[variant] = {}
            for owner in OWNERS:
                share[owner] = round(median(
                    sum(value for name, value in one.items() if name.startswith(f"cpu_{owner}_"))
                    / one["units"] / NS_PER_INSTRUCTION for one in ones))
            whole = median((one["elapsed_ns"] - one["idle_ns"]) / one["units"]
                           / NS_PER_INSTRUCTION for one in ones)
            share["rest"] = round(whole - sum(share.values()))
        told["node_a_protected_over_absent"] = round(
            told["protected"]["a"] / told["absent"]["a"], 3)
        return told

    def moves(self):
        """Instructions per connection that changes its node, by the module and in user space."""
        told = {}
        for workload in ("handover", "repair"):
            told[workload] = round(median(
                one["run_ns"] / one["units"] / NS_PER_INSTRUCTION
                for one in self.all
                if (one["workload"], one["pass"]) == (workload, "handover")))
        told["repair_over_handover"] = round(told["repair"] / told["handover"], 2)
        told["goal"] = GOAL_MOVES
        return told

    def absorbing(self):
        """Instructions per megabyte of a download that a node regenerates, and of one that it
        sends."""
        short, long = sorted((one["absorbed"] / 1e6, one["run_ns"] / NS_PER_INSTRUCTION)
                             for one in self.all if one["pass"] == "absorb")
        absorbed = (long[1] - short[1]) / (long[0] - short[0])
        sent = median(one["run_ns"] / one["units"] / NS_PER_INSTRUCTION
                      for one in self.select("download", "absent"))
        return {"absorbed": round(absorbed), "sent": round(sent),
                "sent_over_absorbed": round(sent / absorbed, 2)}

    def beside(self):
        """Costs beside so many idle connections."""
        told = {}
        for held in sorted({one["held"] for one in self.all if one["pass"] == "connections"}):
            told[str(held)] = {workload: round(median(self.costs(
                workload, "protected", which="connections", held=held)))
                for workload in ("requests", "connects")}
            told[str(held)]["per_idle_second"] = self.per_idle_second(
                "protected", "connections", held)
        return told

    def summary(self):
        """All of it, for bench.json."""
        return {
            "workloads": {workload: self.workload(workload) for workload in UNITS},
            "channel": {workload: self.channel(workload) for workload in UNITS},
            "per_idle_second": {variant: self.per_idle_second(variant)
                                for variant in VARIANTS},
            "latency_us": {workload: self.latency(workload)
                           for workload in ("requests", "connects")},
            "split": {workload: self.split(workload) for workload in UNITS
                      if self.select(workload, "absent", "split")},
            "moves": self.moves(),
            "absorbing": self.absorbing(),
            "beside_idle_connections": self.beside()}
