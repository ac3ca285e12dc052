# SPDX-License-Identifier: GPL-2.0
"""The machines while they are used: a folder, a server, the module and an address on each node, and
a folder on the client. All of it is taken away again when the connection to the machine ends,
however it does. Measures nothing."""

import os
import sys
import time
from collections import namedtuple

from tcpfo.bench import pace
from tcpfo.bench.clients import Place
from tcpfo.bench.hw import TOP
from tcpfo.bench.hw.needs import CHANNEL_DEVICE, LOAD
from tcpfo.bench.pair import Pair
from tcpfo.cluster import SYSFS, Node, wait_for
from tcpfo.guest import GuestError

# What the client runs; one finds the other beside it.
PROGRAMS = ("programs/answer.py", "programs/receivers.py", "bench/load.c", "bench/meter.c",
            "bench/meter.h")
MEGABYTES = 64
# How long a node is cut off, and how long one that was killed may take to be back, in seconds.
CUT_S, BOOT_S = 4, 900
RESTORE_S = 120
# In memory, so that what is measured is no disk.
MAKE_FOLDER = "umask 022; mktemp -d /dev/shm/tcpfo-hw.XXXXXX"
# The same bytes on all machines, no two parts of them alike, and of one age.
MAKE_FILES = f"""
mkdir {{folder}}/www {{folder}}/store && cd {{folder}}/www
seq 10000000 99999999 | head -c {MEGABYTES}M >big
seq 1000 9999 | head -c 300 >small
touch -d @0 big small"""
# As selftests/bench/variants.sh has it: buffers that do not grow.
NGINX = """
user root;
worker_processes 1;
worker_rlimit_nofile 16384;
pid {folder}/pid;
error_log {folder}/error.log;
events {{ worker_connections 8192; }}
http {{
	access_log off;
	sendfile on;
	tcp_nopush on;
	default_type application/octet-stream;
	client_body_temp_path {folder}/body;
	proxy_temp_path {folder}/proxy;
	fastcgi_temp_path {folder}/fastcgi;
	uwsgi_temp_path {folder}/uwsgi;
	scgi_temp_path {folder}/scgi;
	client_max_body_size 0;
	keepalive_requests 1000000000;
	keepalive_timeout 600s;
	send_timeout 600s;
	server {{
		listen {port} sndbuf=100k rcvbuf=500k backlog=4096;
		listen {other_port} sndbuf=100k rcvbuf=500k backlog=4096;
		location / {{ root {folder}/www; }}
		location /store/ {{ root {folder}; dav_methods PUT; }}
	}}
}}
"""
# The address first: without its role a standby node would answer for it.
REMOVE_SERVICE = """
ip addr del {service} dev {device} 2>/dev/null
if [ -d {sysfs}/services/web ]; then
    echo off >{sysfs}/services/web/role
    echo web >{sysfs}/services/remove
fi
"""
# What was not there before is ours.
RESTORE = """
[ ! -e {folder}/mender ] || kill -- -$(cat {folder}/mender) 2>/dev/null
for table in $(nft list tables netdev 2>/dev/null | grep -o 'tcpfo_hw_[a-z]*'); do
    nft delete table netdev $table
done
""" + REMOVE_SERVICE + """
for try in 1 2 3 4 5 6 7 8 9 10; do
    [ -d /sys/module/tcp_failover ] || break
    rmmod tcp_failover 2>/dev/null || sleep 1
done
[ ! -d /sys/module/tcp_failover ] || echo "tcp_failover is still loaded"
if pid=$(cat {folder}/pid 2>/dev/null); then
    kill $pid
    while kill -0 $pid 2>/dev/null; do sleep 0.1; done
fi
tc qdisc show dev {device} root | grep -q ' 0: ' || tc qdisc del dev {device} root
rm -rf {folder}
true"""
RESTORE_CLIENT = """
pid=$(cat {folder}/capture.pid 2>/dev/null) && kill $pid 2>/dev/null
rm -rf {folder}
true"""
# Both networks at once fall silent, as if the node had died, and come back one after the other: the
# node hears that the other one speaks before the clients hear it. Links, routes and addresses stay
# as they are.
CUT = """
folder={folder} device={device} port={port}
channel=$(""" + CHANNEL_DEVICE + """)
cut() {{
    echo "table netdev tcpfo_hw_$1 {{
        chain in {{ type filter hook ingress device $2 priority -400; policy drop; }}
        chain out {{ type filter hook egress device $2 priority 400; policy drop; }}
    }}"
}}
{{ cut channel $channel; cut service $device; }} >$folder/cut
setsid bash -c '
    echo $$ >'$folder'/mender
    nft -f '$folder'/cut
    # What waits there would still leave.
    tc qdisc del dev '$device' root
    sleep {seconds}
    nft delete table netdev tcpfo_hw_channel
    for try in {{1..300}}; do
        [ "$(cat {sysfs}/services/web/state)" != standby ] || break
        sleep 0.1
    done
    # What the dead node would have forgotten.
    ss -HtK state connected "sport = :'$port'"
    nft delete table netdev tcpfo_hw_service
    rm '$folder'/mender
' >/dev/null 2>&1 </dev/null &
until nft list table netdev tcpfo_hw_service >/dev/null 2>&1; do sleep 0.01; done"""

Cluster = namedtuple("Cluster", "a b nodes client")


class Folder:
    """A folder on a machine that is in use, and the end of that use."""

    def __init__(self, host, restore):
        self.host = host
        self.restore = restore
        self.path = host.run(MAKE_FOLDER).strip()
        self.guard = host.afterwards(restore(self.path))

    def end(self):
        """Has the machine be what it was; returns what is not."""
        self.guard.kill()
        try:
            code = self.guard.wait(RESTORE_S)
        except GuestError as error:
            return [str(error)]
        said = [f"{self.host.name}: {line}" for line in self.guard.output.splitlines()]
        return said or ([f"{self.host.name}: exit code {code}"] if code else [])


class Server(Node):
    """A node, and what is ours on it."""

    def __init__(self, host, node, config):
        path = f"/sys/class/net/{node.device}/address"
        super().__init__(host, None, host.run(f"cat {path}").strip())
        self.device, self.channel = node.device, str(node.channel)
        self.service = str(config.service)
        self.port, self.module = config.port, config.module
        self.folder = None

    def restore(self, folder):
        """A command line that takes away all that is ours."""
        return RESTORE.format(folder=folder, service=self.service, device=self.device, sysfs=SYSFS)

    def set_up(self):
        """Folder, module's file and server; neither module nor address."""
        self.folder = Folder(self.guest, self.restore)
        path = self.folder.path
        self.guest.put(self.module, f"{path}/tcp_failover.ko")
        self.guest.run(MAKE_FILES.format(folder=path), timeout=300)
        self.start_server()

    def start_server(self):
        """nginx, of which nothing is the distribution's but the program."""
        path = self.folder.path
        text = NGINX.format(folder=path, port=self.port, other_port=self.port + 1)
        self.guest.run(f"cat >{path}/conf <<'END'{text}END\n"
                       f"nginx -e {path}/error.log -c {path}/conf")

    def insert_module(self):
        """Unless it is there: the machines of a test have one kernel."""
        self.guest.run("[ -d /sys/module/tcp_failover ] || "
                       f"insmod {self.folder.path}/tcp_failover.ko")

    def remove_module(self):
        """And the service's address with it."""
        self.guest.run(REMOVE_SERVICE.format(service=self.service, device=self.device, sysfs=SYSFS)
                       + "[ ! -d /sys/module/tcp_failover ] || rmmod tcp_failover")

    def stat(self):
        """The first line of /proc/stat."""
        return self.guest.run("head -n 1 /proc/stat")

    def cut(self):
        """Nobody hears it, nor does it hear anybody, for a while."""
        self.guest.run(CUT.format(folder=self.folder.path, device=self.device, sysfs=SYSFS,
                                  port=self.port, channel=self.channel, seconds=CUT_S))

    def wait_mended(self):
        """Until it is heard again."""
        self.guest.run(f"while [ -e {self.folder.path}/mender ]; do sleep 0.1; done", timeout=120)

    def crash(self):
        """A kernel panic, after which it reboots by itself. Its connection is lost."""
        self.guest.run("""
            echo 1 >/proc/sys/kernel/panic
            setsid bash -c 'sleep 0.2; echo c >/proc/sysrq-trigger' >/dev/null 2>&1 </dev/null &""")

    def boot_id(self):
        """What differs after each boot; nothing while it cannot be reached."""
        try:
            return self.guest.run("cat /proc/sys/kernel/random/boot_id", timeout=20).strip()
        except GuestError:
            self.guest.disconnect()
            return ""


class ClientMachine:
    """The client: programs and files, and what tcpfo.bench.clients wants to know of it."""

    def __init__(self, host, config):
        self.host = host
        self.config = config
        self.folder = Folder(host, lambda folder: RESTORE_CLIENT.format(folder=folder))
        self.device = host.run(f"ip -o route get {config.service.ip} | grep -o ' dev [^ ]*'"
                               ).split()[1]

    @property
    def place(self):
        """Where things are."""
        path = self.folder.path
        return Place(str(self.config.service.ip), self.config.port, f"{path}/www/big", path, path)

    def set_up(self):
        """Copies programs and makes files."""
        path = self.folder.path
        for name in PROGRAMS:
            self.host.put(os.path.join(TOP, "selftests", name), f"{path}/{os.path.basename(name)}")
        self.host.run(MAKE_FILES.format(folder=path), timeout=300)
        if "yes" in self.host.run("command -v cc >/dev/null && echo yes", check=False):
            self.host.run(f"cd {path} && cc -O2 -o load load.c meter.c")
        else:
            self.host.put(LOAD, f"{path}/load")
            self.host.run(f"chmod +x {path}/load")


class Machines(Pair):
    """Both nodes, of which one serves, and the client. A context manager, on whose exit all
    is as it was; `left` says what is not."""

    def __init__(self, hosts, config):
        nodes = [Server(hosts[name], config.nodes[name], config) for name in "ab"]
        super().__init__(Cluster(*nodes, nodes, None))
        self.port = config.port
        self.client = None
        self.old_boot = None
        self.client_host, self.config = hosts["client"], config
        self.left = []

    def __enter__(self):
        try:
            for node in self.cluster.nodes:
                node.set_up()
            self.client = ClientMachine(self.client_host, self.config)
            self.client.set_up()
            self.active.add_service_address()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for one in (self.client, self.standby, self.active):
            if one and one.folder:
                self.left += one.folder.end()
        for line in self.left:
            print("not restored: " + line, file=sys.stderr)

    def prepare(self, node):
        """The module, which has no role yet. The server runs already."""
        peer = self.standby if node is self.active else self.active
        node.load_module(peer, self.port)
        node.write("channel/peer_timeout_ms", self.peer_timeout_ms)

    def end(self):
        """No module any more; the node that is active keeps the address."""
        for node in (self.standby, self.active):
            node.remove_module()
        self.active.add_service_address()
        self.client.host.run("ip neigh flush to "
                             f"{self.config.service.ip} dev {self.client.device}", check=False)

    def change(self):
        """The standby node has become the active one."""
        self.active, self.standby = self.standby, self.active
        self.active.wait_value("services/web/state", "active", 60)

    def hand_over(self):
        """On purpose."""
        self.active.write("services/web/handover", 1)
        self.change()

    def cut(self):
        """The active node falls silent."""
        self.active.cut()
        self.change()

    def crash(self):
        """The active node dies."""
        self.old_boot = self.active.boot_id()
        self.active.crash()
        self.change()

    def rejoin(self):
        """The node that fell silent is heard again, and stands by."""
        self.standby.wait_mended()
        pace.shape(self.standby, self.rate)
        self.standby.wait_value("services/web/state", "standby", 60)

    def reboot(self):
        """The node that died has booted, and stands by."""
        node = self.standby
        node.guest.disconnect()
        wait_for("the node that was killed", lambda: node.boot_id() not in ("", self.old_boot),
                 BOOT_S, 5)
        wait_for("its devices", lambda: node.channel in node.guest.run("ip -o addr"), 120, 1)
        time.sleep(1)
        node.set_up()
        self.prepare(node)
        node.write("services/web/role", "backup")
        node.add_service_address()
        if self.rate:
            self.set_rate(self.rate)
