# SPDX-License-Identifier: GPL-2.0
"""A node is killed half-way through a client's work: without the module, and with it.

Carries out the two runs in a cluster and judges them by the client's exit status, hashes, the
client's capture (selftests/wirecheck) and the kernel logs; notes what happened when. Boots
nothing and prints nothing: the demo and the crash test do.
"""

import json
import os
import re
import subprocess
import time

from tcpfo import picture, progress
from tcpfo.cluster import SERVICE_ADDRESS
from tcpfo.workload import start_server

# The service network is made as fast as a common one, so that half-way is a moment one can see.
RATE = "100mbit"
WIRECHECK = "/src/build/wirecheck"
TRANSFER_SECONDS = 120
CONTROL_SECONDS = 30


class Clock:
    """Turns a guest's clock into the host's: the offset is measured before and after a run."""

    def __init__(self, guest):
        self.guest = guest
        self.begin = (time.time(), guest.clock_offset())
        self.end = None

    def stop(self):
        """Measures again."""
        self.end = (time.time(), self.guest.clock_offset())

    def to_host(self, moment):
        """The host's time of a guest's moment."""
        (host, offset), (later, offset_later) = self.begin, self.end
        drift = (offset_later - offset) / (later - host)
        return moment - offset - drift * (moment - offset - host)


class Events:
    """What happened when, on the host's clock."""

    def __init__(self):
        self.entries = []

    def add(self, when, who, what):
        """Notes an event."""
        self.entries.append((when, who, what))

    def follow(self, guest, since):
        """Notes what a guest's module has said on its console since a moment."""
        with open(guest.serial_path, encoding="utf-8") as file:
            for line in file:
                found = re.match(r"(\d+\.\d+) \[ *[\d.]+\] tcp_failover: (.*)", line)
                if found and float(found.group(1)) >= since:
                    self.add(float(found.group(1)), "node " + guest.name, found.group(2))

    def lines(self, zero):
        """The timeline, in seconds since `zero`."""
        return [f"{when - zero:9.3f} s  {who:8}  {what}"
                for when, who, what in sorted(self.entries)]


def shape(cluster):
    """Makes the service network a slower one, in both directions."""
    for guest, device in ((cluster.client, "eth0"), (cluster.client, "eth1"),
                          (cluster.a.guest, "eth0"), (cluster.b.guest, "eth0")):
        guest.run(f"""
            tc qdisc replace dev {device} root handle 1: tbf rate {RATE} burst 256kb latency 1s
            tc qdisc replace dev {device} parent 1: fq""")


def control(cluster, workload):
    """Without the module: node b gets the address as soon as a is dead, as is usual today.

    Returns how it ended: the transfer is expected to be lost. Node a is dead then.
    """
    for node in cluster.nodes:
        start_server(node)
    cluster.a.add_service_address()
    shape(cluster)
    workload.prepare()
    cluster.start_capture("control")
    workload.start().wait(TRANSFER_SECONDS)
    cluster.crash(cluster.a)
    cluster.b.claim_service_address()
    outcome = workload.finish(cluster.b, CONTROL_SECONDS)
    cluster.stop_capture("control")
    cluster.b.guest.run(f"ip addr del {SERVICE_ADDRESS}/32 dev eth0; rm -rf /srv/store/*")
    return outcome


class Run:
    """The same with the module. `say` is told how far it is."""

    def __init__(self, cluster, workload, out, say):
        self.cluster = cluster
        self.workload = workload
        self.out = out
        self.say = say
        self.events = Events()
        self.crashed = None
        self.takeover = {}
        self.gap = None
        self.waits = []

    def save(self, name, counters):
        """Keeps a node's counters."""
        with open(os.path.join(self.out, name), "w", encoding="ascii") as file:
            file.writelines(f"{key}: {value}\n" for key, value in sorted(counters.items()))

    def carry_out(self):
        """Protects the service, starts the client, kills the node, waits for the end."""
        cluster = self.cluster
        for node in cluster.nodes:
            start_server(node)
        shape(cluster)
        cluster.protect()
        self.say("node a active and protected, node b ready to take over; the client starts")
        self.workload.prepare()
        cluster.start_capture()
        clock = Clock(cluster.client)
        half = self.workload.start()
        self.save("counters-a-before", cluster.a.counters())
        half.wait(TRANSFER_SECONDS)
        self.crashed = cluster.crash(cluster.a)
        self.events.add(self.crashed, "node a", "killed by a kernel panic (sysrq c)")
        self.say("half-way: node a is dead")
        outcome = self.workload.finish(cluster.b, TRANSFER_SECONDS)
        self.say("the client has ended")
        clock.stop()
        capture = cluster.stop_capture()
        counters = cluster.b.counters()
        self.save("counters-b-after", counters)
        self.takeover = {name.split("/")[-1]: value for name, value in counters.items()
                         if "/takeover/" in name}
        self.events.follow(cluster.b.guest, self.crashed)
        report = self.check_wire(outcome, capture)
        self.check_kernels(outcome)
        self.draw(capture, clock, report)
        return outcome

    def check_wire(self, outcome, capture):
        """What the client saw on the wire."""
        done = subprocess.run([WIRECHECK, "--json", "--service", f"{SERVICE_ADDRESS}:80", capture],
                              capture_output=True, text=True, check=False)
        with open(os.path.join(self.out, "wirecheck.json"), "w", encoding="utf-8") as file:
            file.write(done.stdout)
        if done.returncode not in (0, 1):
            outcome.add("the capture can be checked", False, done.stderr.strip())
            return None
        report = json.loads(done.stdout)
        breaches = [breach["kind"] for breach in report["breaches"]]
        kinds = ", ".join(f"{breaches.count(kind)} {kind}" for kind in sorted(set(breaches)))
        outcome.add("the client's capture: no RST, no byte from two speakers, nothing taken back",
                    not breaches, kinds or f"{report['packets']} packets")
        moved = report["total"]["taken_over"]
        outcome.add("the connections really changed their node", moved > 0, f"{moved}")
        return report

    def check_kernels(self, outcome):
        """The kernels' own opinion."""
        reports = self.cluster.kernel_reports()
        outcome.add("no complaint in the kernel logs", not reports, "; ".join(reports[:3]))

    def draw(self, capture, clock, report):
        """The picture and the last lines of the timeline."""
        found = [step._replace(time=clock.to_host(step.time))
                 for step in progress.steps(capture, 80, self.workload.uploads)]
        if not found or report is None:
            return
        names = {node.mac_bytes: node.name for node in self.cluster.nodes}
        new = [step for step in found if step.count]
        zero = new[0].time
        curves, marks, total = {}, [(self.crashed - zero, "node a killed")], 0
        for step in new:
            total += step.count
            curves.setdefault(names.get(step.node, "?"), []).append((step.time - zero, total))
        what = "new acknowledgement" if self.workload.uploads else "new byte"
        resumed = next((step for step in new if names.get(step.node) == "b"), None)
        if resumed:
            self.events.add(resumed.time, "client", f"first {what} from node b")
            marks.append((resumed.time - zero, "node b goes on"))
        self.events.add(new[-1].time, "client", f"last {what}: done")
        self.gap = report["total"]["ack_gap" if self.workload.uploads else "payload_gap"]
        self.waits = progress.waits(found, self.cluster.a.mac_bytes)
        shaded = (0, 0)
        if self.waits:
            wait, begin = self.waits[-1]
            shaded = (begin - zero, begin - zero + wait)
        picture.draw(os.path.join(self.out, "progress.png"),
                     f"{self.workload.name}: {total / 1e6:.0f} MB, its server killed half-way",
                     list(curves.items()), marks, shaded)
