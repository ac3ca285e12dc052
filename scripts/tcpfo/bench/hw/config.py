# SPDX-License-Identifier: GPL-2.0
"""What `make bench BENCH=hw` is told by variables, and what is wrong with it. Asks no machine."""

import ipaddress
import os
import re
from collections import namedtuple

from tcpfo.bench.hw import TOP

Node = namedtuple("Node", "destination device channel")
Amount = namedtuple("Amount", "downloads uploads requests connects")
"""Of one measurement: files of 64 MB beside the first one, which is not counted, and answers.

An upload that is protected is logged, 256 MiB of it at most."""
Config = namedtuple("Config", "nodes client service port rounds runs cuts crashes amount module")

FULL, SHORT = Amount(16, 2, 100_000, 10_000), Amount(1, 1, 1000, 500)
CRASHES = 5
LOCAL = "local"
NEEDED = {
    "NODE_A": "ssh destination of the node that serves at first, as root",
    "NODE_B": "ssh destination of the node that stands by at first, as root",
    "CLIENT": "ssh destination of the client, as root; local is this machine",
    "SERVICE": "address/prefix of the service, IPv4; nobody has it yet",
    "DEVICE_A": "device of node a in the clients' network",
    "DEVICE_B": "device of node b in the clients' network",
    "CHANNEL_A": "address that node a has in the network between the nodes",
    "CHANNEL_B": "address that node b has in the network between the nodes",
}
EXAMPLE = """for example:
  make bench BENCH=hw NODE_A=root@a NODE_B=root@b CLIENT=local SERVICE=192.0.2.100/32 \\
      DEVICE_A=eth0 DEVICE_B=eth0 CHANNEL_A=198.51.100.2 CHANNEL_B=198.51.100.3
See Documentation/bench_hw.rst."""


class Reader:
    """Takes values, and notes what is wrong."""

    def __init__(self, values):
        self.values = values
        self.wrong = []

    def text(self, name):
        """One that has to be there. A destination is no option of ssh, a device no command."""
        value = self.values.get(name, "")
        if not value:
            self.wrong.append(f"{name} is missing: {NEEDED[name]}")
        elif not re.fullmatch(r"[\w.:@/][\w.:@/%+-]*", value):
            self.wrong.append(f"{name}={value}: no {NEEDED[name]}")
        return value

    def address(self, name, kind):
        """An address, as `kind` understands it."""
        value = self.text(name)
        try:
            return kind(value)
        except ValueError as error:
            if value:
                self.wrong.append(f"{name}={value}: {error}")
            return None

    def number(self, name, default, least, most=65534):
        """A number that may be left out."""
        value = self.values.get(name) or str(default)
        if value.isdecimal() and least <= int(value) <= most:
            return int(value)
        self.wrong.append(f"{name}={value}: no number from {least} to {most}")
        return default

    def flag(self, name):
        """yes, or nothing."""
        value = self.values.get(name) or "no"
        if value not in ("yes", "no"):
            self.wrong.append(f"{name}={value}: neither yes nor no")
        return value == "yes"

    def file(self, name, default):
        """A file that is there."""
        value = self.values.get(name) or default
        if not os.path.isfile(value):
            self.wrong.append(f"{name}={value}: no such file; make KDIR=TREE builds the module")
        return value

    def differ(self, first, second):
        """Both are given, and are not the same."""
        one, other = self.values.get(first), self.values.get(second)
        if one and one == other:
            self.wrong.append(f"{first} and {second} are both {one}")


def read(values):
    """(Config, what is wrong): the former is of no use when there is anything of the latter."""
    reader = Reader(values)
    nodes = {name: Node(reader.text(f"NODE_{name.upper()}"), reader.text(f"DEVICE_{name.upper()}"),
                        reader.address(f"CHANNEL_{name.upper()}", ipaddress.ip_address))
             for name in "ab"}
    service = reader.address("SERVICE", ipaddress.IPv4Interface)
    for pair in (("NODE_A", "NODE_B"), ("CLIENT", "NODE_A"), ("CLIENT", "NODE_B"),
                 ("CHANNEL_A", "CHANNEL_B")):
        reader.differ(*pair)
    for name, node in nodes.items():
        if node.destination == LOCAL:
            reader.wrong.append(f"NODE_{name.upper()}=local: a node is another machine")
        if service and node.channel == service.ip:
            reader.wrong.append(f"SERVICE and CHANNEL_{name.upper()} are the same address")
    if service and "/" not in values["SERVICE"]:
        reader.wrong.append(f"SERVICE={values['SERVICE']}: without a prefix, such as /32")
    config = Config(nodes, reader.text("CLIENT"), service, reader.number("PORT", 8780, 1),
                    reader.number("ROUNDS", 5, 1), reader.number("RUNS", 30, 0),
                    reader.number("CUTS", 10, 0), CRASHES if reader.flag("CRASH") else 0,
                    SHORT if values.get("SHORT") else FULL,
                    reader.file("MODULE", os.path.join(TOP, "build/tcp_failover.ko")))
    return config, reader.wrong
