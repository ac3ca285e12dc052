# SPDX-License-Identifier: GPL-2.0
"""make demo: a client's transfer survives the death of its server. See scripts/demo.

Runs the transfer twice in three guests: without the module, when it must fail, and with it. Tells
what happened when, draws it, and judges it by the client's exit status, hashes, the client's
capture (selftests/wirecheck) and the kernel logs.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

from tcpfo import picture, progress
from tcpfo.cluster import SERVICE_ADDRESS, Cluster
from tcpfo.guest import GuestError
from tcpfo.workload import SIZE, WORKLOADS, make_data, start_server

# The service network is made as fast as a common one, so that half-way is a moment one can see.
RATE = "100mbit"
WIRECHECK = "/src/build/wirecheck"
TRANSFER_SECONDS = 120
CONTROL_SECONDS = 30
STARTED = time.monotonic()


def say(text):
    """A line of progress, with the seconds since the start."""
    print(f"[{time.monotonic() - STARTED:5.1f}] {text}", flush=True)


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
    """Without the module: node b gets the address as soon as a is dead, as is usual today."""
    say("1. without the module: node a serves, is killed half-way, node b takes its address")
    for node in cluster.nodes:
        start_server(node)
    cluster.a.add_service_address()
    shape(cluster)
    workload.prepare()
    cluster.start_capture("control")
    workload.start().wait(TRANSFER_SECONDS)
    cluster.crash(cluster.a)
    cluster.b.add_service_address()
    cluster.b.guest.run(f"arping -q -U -c 2 -I eth0 {SERVICE_ADDRESS}", check=False)
    outcome = workload.finish(cluster.b, CONTROL_SECONDS)
    cluster.stop_capture("control")
    for expected, held, seen in outcome.checks:
        if not held:
            say(f"   not so: {expected} ({seen})")
    cluster.b.guest.run(f"ip addr del {SERVICE_ADDRESS}/32 dev eth0; rm -rf /srv/store/*")
    return not outcome.good


class Run:
    """The same with the module."""

    def __init__(self, cluster, workload, out):
        self.cluster = cluster
        self.workload = workload
        self.out = out
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
        say("2. with the module on both nodes: configured through sysfs")
        for node in cluster.nodes:
            start_server(node)
        shape(cluster)
        cluster.protect()
        say("   node a active and protected, node b ready to take over; the client starts")
        self.workload.prepare()
        cluster.start_capture()
        clock = Clock(cluster.client)
        half = self.workload.start()
        self.save("counters-a-before", cluster.a.counters())
        half.wait(TRANSFER_SECONDS)
        self.crashed = cluster.crash(cluster.a)
        self.events.add(self.crashed, "node a", "killed by a kernel panic (sysrq c)")
        say("   half-way: node a is dead")
        outcome = self.workload.finish(cluster.b, TRANSFER_SECONDS)
        say("   the client has ended")
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


def show(run, outcome):
    """The report."""
    print("\nTimeline (seconds since the crash)")
    for line in run.events.lines(run.crashed):
        print(" ", line)
    absorbed = run.takeover.get("bytes_absorbed")
    if absorbed:
        print(f"  fast-forwarded: {int(absorbed):,} bytes that the client already had")
    if run.waits:
        print(f"  waited at the crash: {run.waits[-1][0]:.3f} s" + (
            f" at most, {run.waits[len(run.waits) // 2][0]:.3f} s in the median, "
            f"of {len(run.waits)} connections" if len(run.waits) > 1 else ""))
    if run.gap:
        print(f"  longest gap the client saw in the whole run: {run.gap['ms'] / 1000:.3f} s")
    print("\nChecks")
    for expected, held, seen in outcome.checks:
        print(f"  {'ok    ' if held else 'FAILED'}  {expected}" + (f" ({seen})" if seen else ""))


def main():
    """See the top."""
    mode = os.environ.get("DEMO") or "download"
    if mode not in WORKLOADS:
        sys.exit(f"DEMO={mode}: choose one of {', '.join(WORKLOADS)}")
    out = f"/out/demo-{mode}"
    shutil.rmtree(out, ignore_errors=True)
    os.makedirs(out)
    say(f"demo: {mode}, {SIZE // 1000000} MB; booting three guests of the stock kernel")
    with tempfile.TemporaryDirectory() as folder:
        image, hashes = make_data(folder)
        with Cluster(out, disks=[image], memory=1024, client_memory=1024) as cluster:
            say(f"   kernel {cluster.client.run('uname -r').strip()}: client, a and b are up")
            failed = control(cluster, WORKLOADS[mode](cluster, hashes))
            say("   as expected: the transfer is lost" if failed else "   it survived?")
            say("   node a reboots")
            cluster.revive(cluster.a)
            run = Run(cluster, WORKLOADS[mode](cluster, hashes), out)
            outcome = run.carry_out()
    outcome.checks.insert(0, ("without the module the transfer is lost", failed, ""))
    show(run, outcome)
    folder = os.path.join(os.environ.get("TCPFO_OUT_HOST", "/out"), os.path.basename(out))
    print(f"\nCaptures, serial logs, counters and progress.png are in {folder}")
    print("The demo held." if outcome.good else "THE DEMO FAILED.")
    sys.exit(not outcome.good)


if __name__ == "__main__":
    try:
        main()
    except GuestError as error:
        sys.exit(f"error: {error}\nTHE DEMO FAILED.")
