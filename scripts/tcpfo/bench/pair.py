# SPDX-License-Identifier: GPL-2.0
"""Two nodes that take over from one another, again and again: after each death the dead node is
rebooted and stands by for the other one.

Configures and kills; measures nothing.
"""

from tcpfo.bench import pace
from tcpfo.cluster import SERVICE_ADDRESS

MAX_CONNECTIONS = 262_144
# Everything of Debian's nginx but the number of connections and the time that they may idle.
NGINX = f"""
user www-data;
worker_processes 1;
worker_rlimit_nofile {MAX_CONNECTIONS};
pid /run/nginx.pid;
events {{ worker_connections {MAX_CONNECTIONS // 2}; }}
http {{
	access_log off;
	sendfile on;
	tcp_nopush on;
	default_type application/octet-stream;
	keepalive_timeout 3600s;
	client_header_timeout 3600s;
	send_timeout 3600s;
	server {{ listen 80 backlog=4096; root /srv/www; }}
}}
"""
ROLES = {"a": "primary", "b": "backup"}


class Pair:
    """The nodes of a cluster, and which of them serves. `rate` is what each connection may have on
    the nodes' service network, as tc writes it; `peer_timeout_ms` is the module's."""

    def __init__(self, cluster, rate=None, peer_timeout_ms=500):
        self.cluster = cluster
        self.active, self.standby = cluster.a, cluster.b
        self.rate = rate
        self.peer_timeout_ms = peer_timeout_ms

    def set_rate(self, rate):
        """Another rate for each connection, from now on."""
        self.rate = rate
        for node in self.cluster.nodes:
            if node.alive:
                pace.shape(node, rate)

    @staticmethod
    def start_server(node):
        """Debian's nginx, and what a check of its health would do: both it and its file are in
        memory."""
        node.guest.run(f"""
            set -e
            mkdir -p /srv/www
            mountpoint -q /srv/www || mount -t erofs -o ro /dev/vdb /srv/www
            cat >/run/nginx.conf <<'END'{NGINX}END
            ulimit -n {MAX_CONNECTIONS}
            nginx -c /run/nginx.conf
            for i in 1 2 3; do curl -s -o /dev/null http://127.0.0.1/big; done""")

    @staticmethod
    def stop_server(node):
        """Of a node without the module: nor has it the address any more."""
        node.guest.run(f"""
            pkill -QUIT nginx; while pgrep nginx >/dev/null; do sleep 0.1; done
            ip addr flush dev eth0 to {SERVICE_ADDRESS}/32""")

    def prepare(self, node):
        """Server and module; the module has no role yet, nor the node the address."""
        self.start_server(node)
        if self.rate:
            pace.shape(node, self.rate)
        peer = self.cluster.b if node is self.cluster.a else self.cluster.a
        node.load_module(peer)
        node.write("limits/max_connections", MAX_CONNECTIONS)
        node.write("channel/peer_timeout_ms", self.peer_timeout_ms)

    def begin(self):
        """Node a serves, node b stands by."""
        for node in self.cluster.nodes:
            self.prepare(node)
        for node in self.cluster.nodes:
            node.write("services/web/role", ROLES[node.name])
        # With no role yet, either would answer for the address like any host.
        for node in self.cluster.nodes:
            node.add_service_address()
        self.active.wait_value("services/web/state", "active")
        self.wait_ready()

    def wait_ready(self, timeout=600):
        """Waits until a takeover would carry on all connections."""
        self.standby.wait_value("services/web/takeover_ready", 1, timeout)
        self.active.wait_value("services/web/protected", 1)

    def crash(self):
        """Kills the active node; returns the host's time of it. The other one is to take over."""
        when = self.cluster.crash(self.active)
        self.active, self.standby = self.standby, self.active
        return when

    def rejoin(self):
        """The node that died comes back, and stands by."""
        node = self.standby
        self.cluster.revive(node)
        self.prepare(node)
        node.write("services/web/role", ROLES[node.name])
        node.wait_value("services/web/state", "standby")
        node.add_service_address()
        self.wait_ready()
