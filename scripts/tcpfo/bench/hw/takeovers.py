# SPDX-License-Identifier: GPL-2.0
"""For how long downloads stand still when their node hands over, is cut off, or is killed."""

import os
import time
from collections import namedtuple

from tcpfo.bench import pace, pauses
from tcpfo.bench.clients import say
from tcpfo.cluster import start_capture, stop_capture

Kind = namedtuple("Kind", "name runs act come_back")
DOWNLOADS = (1, 100)


class Takeovers:
    """All runs. `out` is where captures go."""

    def __init__(self, machines, config, clients, out):
        self.machines = machines
        self.clients = clients
        self.out = out
        self.kinds = (Kind("handover", config.runs, machines.hand_over, lambda: None),
                      Kind("cut", config.cuts, machines.cut, machines.rejoin),
                      Kind("crash", config.crashes, machines.crash, machines.reboot))
        self.runs = []

    def run(self, kind, number):
        """One takeover."""
        client, machines = self.machines.client, self.machines
        capture = f"{client.folder.path}/capture"
        start_capture(client.host, client.device, client.config.service.ip, capture)
        downloads = self.clients.start_downloads(number, pace.UNDER_WAY)
        machines.wait_ready()
        time.sleep(0.5)
        kind.act()
        self.clients.wait_resumed(downloads)
        time.sleep(1 + 1 / pace.each(number))
        self.clients.stop_downloads(downloads)
        stop_capture(client.host, capture)
        path = os.path.join(self.out, "capture.pcap")
        client.host.fetch(capture + ".pcap", path)
        self.judge(kind, number, pauses.Takeover(path, machines.port, machines.standby.mac_bytes,
                                                 machines.active.mac_bytes))

    def judge(self, kind, number, seen):
        """What is kept of it."""
        node = self.machines.active.takeover_figures()
        self.clients.note_takeover(seen, number, node["failed"])
        self.runs.append({"kind": kind.name, "downloads": number, "pauses_ms": seen.pauses_ms(),
                          "from": self.machines.standby.name, "node": node})

    def carry_out(self):
        """All runs of all kinds, to and fro."""
        for kind in self.kinds:
            for number in DOWNLOADS if kind.runs else ():
                self.machines.set_rate(pace.rate(pace.each(number)))
                for run in range(kind.runs):
                    say(f"{kind.name}: {number} downloads, run {run + 1} of {kind.runs}")
                    self.run(kind, number)
                    kind.come_back()
                    self.machines.wait_ready()

    def summary(self):
        """For each kind and number: pauses of all connections, and the nodes' figures."""
        result = []
        for kind in self.kinds:
            for number in DOWNLOADS:
                mine = [run for run in self.runs
                        if run["kind"] == kind.name and run["downloads"] == number]
                if not mine:
                    continue
                one = {"kind": kind.name, "downloads": number, "runs": len(mine),
                       "pause_ms": pauses.spread([pause for run in mine
                                                  for pause in run["pauses_ms"]])}
                for name in mine[0]["node"]:
                    if name.endswith("_us"):
                        one[name] = pauses.spread([run["node"][name] for run in mine])
                result.append(one)
        return result
