#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""The benchmark on real machines (make bench BENCH=hw CRASH=yes), on three guests: it runs on the
client, which reaches both nodes by ssh, and kills them by kernel panics, after which they boot by
themselves.

Fails if it does, if one takeover is missing, if the nodes are not left as they were, or if a kernel
complains. What it refuses and how it ends when it is interrupted is tested by test_bench_hw.sh.
Runs in the sandbox.
"""

import json
import os
import shutil
import threading
import time

from tap import note, report
from tcpfo import klog
from tcpfo.cluster import SERVICE_ADDRESS, Cluster
from tcpfo.guest import GuestError

OUT = "/out/crash-bench-hw"
TIMEOUT = 1500
# Each with 1 and with 100 downloads.
RUNS = {"handover": 1, "cut": 1, "crash": 5}
BENCH = f"""cd /src && env BENCH=hw NODE_A=a NODE_B=b CLIENT=local SERVICE={SERVICE_ADDRESS}/32 \
    DEVICE_A=eth0 DEVICE_B=eth0 CHANNEL_A=10.78.0.2 CHANNEL_B=10.78.0.3 \
    SHORT=1 ROUNDS=1 RUNS={RUNS["handover"]} CUTS={RUNS["cut"]} CRASH=yes \
    MODULE=/src/build/tcp_failover.ko MODULE_COMMIT=test TCPFO_OUT=/out scripts/bench"""
# What is to be as it was.
STATE = """ip -4 -o addr; ip -4 route; tc qdisc; nft list ruleset; pgrep -a nginx
    ls -d /dev/shm/* /sys/module/tcp_failover 2>&1; true"""


def ssh(node):
    """The addresses of a node and of the client for that."""
    return f"10.79.{node.host}.2", f"10.79.{node.host}.1"


def come_up(node):
    """What a machine's own configuration does at boot."""
    address, _ = ssh(node)
    node.guest.run(f"""set -e
        ip link set eth2 up; ip addr add {address}/24 dev eth2
        . /src/selftests/ssh.sh; sshd_up /out/ssh {address}""")


def attend(node):
    """Does so each time it has booted by itself."""
    try:
        while True:
            node.guest.ready.clear()
            node.guest.ready.wait()
            with open(node.guest.serial_path, "a", encoding="utf-8") as file:
                file.write(f"{time.time():.6f} {klog.BOOTED}\n")
            node.configure_network()
            come_up(node)
    except (GuestError, OSError) as error:
        # It is over, or does not come up.
        note(f"{node.name}: {error}")


def set_up(cluster):
    """ssh from the client to the nodes, also after they have died."""
    cluster.client.run(". /src/selftests/ssh.sh; ssh_keys /out/ssh")
    for number, node in enumerate(cluster.nodes, start=2):
        come_up(node)
        address, mine = ssh(node)
        cluster.client.run(f"""set -e
            ip link set eth{number} up; ip addr add {mine}/24 dev eth{number}
            . /src/selftests/ssh.sh; ssh_machine /out/ssh {node.name} {address}""")
        threading.Thread(target=attend, args=(node,), daemon=True).start()


def takeovers():
    """{(kind, downloads): runs} of those that were measured whole."""
    with open(os.path.join(OUT, "bench-hw/hw.json"), encoding="ascii") as file:
        found = json.load(file)["takeovers"]
    return {(one["kind"], one["downloads"]): one["runs"] for one in found
            if one["pause_ms"]["count"] == one["runs"] * one["downloads"]}


def results():
    """Yields what was looked at: name, whether it held, and what was seen."""
    with Cluster(OUT, memory=1024, ssh=True) as cluster:
        set_up(cluster)
        before = [node.guest.run(STATE) for node in cluster.nodes]
        code = cluster.client.start_command(BENCH, sink=note).wait(TIMEOUT)
        yield "it comes to its end", code == 0, f"exit code {code}"
        after = [node.guest.run(STATE) for node in cluster.nodes]
        yield "both nodes are as they were", before == after, "" if before == after else after
        reports = cluster.kernel_reports()
        yield "no complaint in the kernel logs", not reports, reports or ""
    expected = {(kind, downloads): runs for kind, runs in RUNS.items() for downloads in (1, 100)}
    seen = takeovers() if code == 0 else {}
    yield "all takeovers were measured", seen == expected, "" if seen == expected else seen


def main():
    """Prints the results."""
    shutil.rmtree(OUT, ignore_errors=True)
    os.makedirs(OUT)
    report(results(), OUT)


if __name__ == "__main__":
    main()
