# SPDX-License-Identifier: GPL-2.0
"""Three guests: a client and two nodes, for the demo and for the crash tests.

                 service network 10.77.0.0/24, service address .100
      +---------------------------------------------------------------+
      |            client .1: br0 (its two ports are the switch)      |
      +--------+---------------------------------------------+--------+
               | eth0 .2                                      | eth0 .3
          +----+----+        channel 10.78.0.0/24         +---+-----+
          | node a  +-------------------------------------+ node b  |
          +---------+ eth1 .2                     eth1 .3 +---------+

The wires are unix sockets between the QEMU processes: the host's own network has no part in it.
Configures addresses and the module; runs no server and judges nothing.
"""

import os
import re
import tempfile
import time

from tcpfo import klog
from tcpfo.guest import Guest, GuestError

CLIENT_ADDRESS = "10.77.0.1"
SERVICE_ADDRESS = "10.77.0.100"
SYSFS = "/sys/kernel/tcp_failover/net"
MODULE = "/src/build/tcp_failover.ko"
# The last byte of the hardware address of each machine's first network card.
FIRST_MAC = {"client": 1, "a": 0xa0, "b": 0xb0}
# Of takeover/: what a node says of its last one.
FIGURES = ("detected_us", "address_us", "first_socket_us", "last_socket_us", "first_splice_us",
           "last_splice_us", "restore_max_us", "at_rest", "restored", "failed", "bytes_absorbed")


def wait_for(what, condition, timeout=20, interval=0.1):
    """Polls until the condition holds; returns its value."""
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise GuestError(f"waited {timeout} s for: {what}")
        time.sleep(interval)


def wait_said(command, word, timeout):
    """Waits until a command of the client has printed a line. Raises when it ends before that."""
    def condition():
        if command.code is not None:
            raise GuestError(f"the client has ended: {command.output}")
        return f"\n{word}\n" in "\n" + command.output
    wait_for(word, condition, timeout, 0.05)


def mac(number):
    """A locally administered address for one network card."""
    return f"52:54:00:00:77:{number:02x}"


def start_capture(guest, device, address, path):
    """Records the headers of all traffic of an address as PATH.pcap; PATH.tcpdump is beside it."""
    guest.run(f"""
        rm -f {path}.tcpdump
        tcpdump -i {device} -s 128 -B 16384 -U -Z root -w {path}.pcap \
            'arp or icmp or host {address}' >{path}.tcpdump 2>&1 </dev/null &
        echo $! >{path}.pid
        until grep -q 'listening on' {path}.tcpdump; do
            kill -0 $! || {{ cat {path}.tcpdump; exit 1; }}
            sleep 0.02
        done""")


def stop_capture(guest, path):
    """Ends it. Raises when packets are missing, or may be."""
    said = guest.run(f"""
        pid=$(cat {path}.pid)
        kill -INT $pid
        while kill -0 $pid 2>/dev/null; do sleep 0.02; done
        rm {path}.pid
        cat {path}.tcpdump""")
    if not re.search(r"^0 packets dropped by kernel", said, re.MULTILINE):
        raise GuestError(f"the capture is not complete: {said.strip()}")


class Node:
    """One of the two servers: its guest and what is special about it."""

    def __init__(self, guest, host, mac_address):
        self.guest = guest
        self.name = guest.name
        self.host = host
        self.mac = mac_address
        self.mac_bytes = bytes.fromhex(mac_address.replace(":", ""))
        self.alive = True
        self.device = "eth0"
        self.service = f"{SERVICE_ADDRESS}/32"
        self.channel = f"10.78.0.{host}"

    def configure_network(self):
        """Addresses of the node itself, not the service's."""
        self.guest.run(f"""
            ip link set eth0 up; ip addr add 10.77.0.{self.host}/24 dev eth0
            ip link set eth1 up; ip addr add 10.78.0.{self.host}/24 dev eth1""")

    def add_service_address(self):
        """The service's address; with the module only the active node answers for it."""
        self.guest.run(f"ip addr replace {self.service} dev {self.device}")

    def claim_service_address(self):
        """The same without the module: what knew another node by it hears of this one."""
        self.add_service_address()
        address = self.service.partition("/")[0]
        self.guest.run(f"arping -q -U -c 2 -I {self.device} {address}", check=False)

    def insert_module(self):
        """The module, of which nothing is configured."""
        self.guest.run(f"insmod {MODULE}")

    def load_module(self, peer, port=80, service="web"):
        """Loads the module and describes channel and service; the role comes later."""
        self.insert_module()
        self.guest.run(f"""
            set -e
            d={SYSFS}
            echo {self.channel} >$d/channel/local_address
            echo {peer.channel} >$d/channel/peer_address
            echo 1 >$d/channel/enabled
            echo {service} >$d/services/create
            echo {self.service.partition("/")[0]} >$d/services/{service}/address
            echo {port} >$d/services/{service}/port
            echo {self.device} >$d/services/{service}/device""")

    def write(self, name, value):
        """Writes one of the module's files."""
        self.guest.run(f"echo {value} >{SYSFS}/{name}")

    def read(self, name):
        """Reads one of the module's files."""
        return self.guest.run(f"cat {SYSFS}/{name}").strip()

    def wait_value(self, name, value, timeout=20):
        """Waits until one of the module's files says so (polled in the guest)."""
        command = f"until [ \"$(cat {SYSFS}/{name})\" = {value} ]; do sleep 0.05; done"
        running = self.guest.start_command(command)
        try:
            running.wait(timeout)
        except GuestError:
            running.kill()
            raise GuestError(f"{self.name}: {name} is {self.read(name)}, "
                             f"not {value} after {timeout} s") from None

    def takeover_figures(self, service="web"):
        """What it says of the takeover that made it active."""
        return {name: int(self.read(f"services/{service}/takeover/{name}")) for name in FIGURES}

    def counters(self, service="web"):
        """All the module's files that can be read: {name: value}."""
        listing = self.guest.run(
            f"cd {SYSFS} && grep -r . stats services/{service} channel limits 2>/dev/null",
            check=False)
        return dict(line.split(":", 1) for line in listing.splitlines() if ":" in line)


class Cluster:
    """The three guests; a context manager. `ssh`: the client has one more wire to either node,
    which nobody but the caller uses."""

    def __init__(self, out, disks=(), memory=768, client_memory=1024, ssh=False):
        # pylint: disable=consider-using-with
        self.wires = tempfile.TemporaryDirectory()
        self.nics = {name: [] for name in FIRST_MAC}
        self.connect("client", "a")
        self.connect("client", "b")
        self.connect("a", "b")
        if ssh:
            self.connect("client", "a")
            self.connect("client", "b")
        self.client = Guest("client", memory=client_memory, out=out, disks=disks,
                            nics=self.nics["client"])
        guest_a = Guest("a", memory=memory, out=out, disks=disks, nics=self.nics["a"])
        guest_b = Guest("b", memory=memory, out=out, disks=disks, nics=self.nics["b"])
        self.a = Node(guest_a, 2, mac(FIRST_MAC["a"]))
        self.b = Node(guest_b, 3, mac(FIRST_MAC["b"]))
        self.nodes = (self.a, self.b)
        self.guests = (self.client, guest_a, guest_b)
        self.out = out

    def connect(self, one, other):
        """A cable, for which either machine gets one more network card. Either end may go and come
        back."""
        ends = [(name, FIRST_MAC[name] + len(self.nics[name])) for name in (one, other)]
        path = os.path.join(self.wires.name, "-".join(f"{number:x}" for _, number in ends))
        wire = f"addr.type=unix,addr.path={path}"
        for (name, number), kind in zip(ends, (f"stream,server=on,{wire}",
                                               f"stream,server=off,{wire},reconnect-ms=100")):
            self.nics[name].append((mac(number), kind))

    def __enter__(self):
        try:
            for guest in self.guests:
                guest.wait_ready()
            self.client.run(f"""
                modprobe bridge
                ip link add br0 type bridge; ip link set br0 up
                for i in 0 1; do ip link set eth$i up master br0; done
                ip addr add {CLIENT_ADDRESS}/24 dev br0""")
            for node in self.nodes:
                node.configure_network()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        """Ends all guests."""
        for guest in self.guests:
            guest.stop()
        self.wires.cleanup()

    def protect(self, service="web", port=80):
        """Module on both nodes, a active, b standing by with complete replicas."""
        for node, peer in ((self.a, self.b), (self.b, self.a)):
            node.load_module(peer, port, service)
        self.b.write(f"services/{service}/role", "backup")
        self.a.write(f"services/{service}/role", "primary")
        # With no role yet, either would answer for the address like any host.
        for node in self.nodes:
            node.add_service_address()
        self.a.wait_value(f"services/{service}/state", "active")
        self.a.wait_value(f"services/{service}/protected", 1)
        self.b.wait_value(f"services/{service}/takeover_ready", 1)

    def crash(self, node):
        """Kills a node by a kernel panic; returns the host's time of it."""
        when = node.guest.crash()
        node.alive = False
        return when

    def revive(self, node):
        """Reboots a node that was killed, with its own addresses only."""
        node.guest.restart()
        node.configure_network()
        node.alive = True

    def start_capture(self, name="client"):
        """Records the headers of all traffic of the service as the client sees it."""
        start_capture(self.client, "br0", SERVICE_ADDRESS, f"/tmp/{name}")

    def stop_capture(self, name="client"):
        """Ends the capture; returns the file's path (in the sandbox)."""
        try:
            stop_capture(self.client, f"/tmp/{name}")
        finally:
            self.client.run(f"cp /tmp/{name}.pcap /tmp/{name}.tcpdump /out/", check=False)
        return os.path.join(self.out, name + ".pcap")

    def kernel_reports(self):
        """What the kernels had to complain about; an asked-for crash is none."""
        return [f"{guest.name}: {line}" for guest in self.guests
                for line in klog.reports(guest.serial_path)]
