# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
# shellcheck disable=SC2154,SC2034 # variables of the files sourced before, and for those after
#
# The network of the tests: four namespaces of one kernel. Sourced after lib.sh.
#
#   +- client ----+   +- a -------------+   +- b -------------+
#   | 10.77.0.1   |   | 10.77.0.2       |   | 10.77.0.3       |  or fd77::1 and so on, see family
#   |             |   | 10.77.0.100     |   | 10.77.0.100     |  the service, on both nodes
#   |    eth0     |   |  eth0     eth1  |   |  eth0     eth1  |
#   +------+------+   +----+--------+---+   +----+--------+---+
#          |               |        |            |        |       10.78.0.2   channel
#   +------+-- switch -----+--------+------------+--------+---+   10.78.0.3
#   |   client            a0       a1            b0      b1   |
#   |   \------- br0 -----+-------- | -----------/        |   |
#   |                               \--------- br1 -------/   |
#   +---------------------------------------------------------+
#
# A node dies (kill_node) when the switch takes both its ports down at once: it goes on running,
# but nobody hears it and it hears nobody, and nothing of it is cleaned up.

# The device that the service's clients are behind.
device=eth0
# What the test speaks: 4, 6, or dual: IPv4 with servers that listen on IPv6 sockets.
family=${family:-4}
# network is the route that comes with a node's own address.
if [ "$family" = 6 ]; then
	client_address=fd77::1
	service_address=fd77::100
	declare -A node_address=([a]=fd77::2 [b]=fd77::3)
	declare -A channel_address=([a]=fd78::2 [b]=fd78::3)
	network=(fd77::/64 dev eth0 metric 256)
	prefix=64
	host_prefix=128
	service_host=[$service_address]
	# Between hosts of the test alone there are no duplicates to wait for.
	nodad=nodad
else
	client_address=10.77.0.1
	service_address=10.77.0.100
	declare -A node_address=([a]=10.77.0.2 [b]=10.77.0.3)
	declare -A channel_address=([a]=10.78.0.2 [b]=10.78.0.3)
	network=(10.77.0.0/24 dev eth0)
	prefix=24
	host_prefix=32
	service_host=$service_address
	nodad=
fi
service_port=80
declare -A node_mac=([a]=02:00:00:00:00:0a [b]=02:00:00:00:00:0b)
client_mac=02:00:00:00:00:0c

# Where each node's own sysfs is mounted, for all to see.
sysfs_mounts=/run/tcp_failover

# on NAMESPACE COMMAND...: runs it in that network; all the rest of the machine stays as it is.
on() {
	nsenter --net="/run/netns/$1" "${@:2}"
}

# stack NAMESPACE COUNTER: what the stack has counted there.
stack() {
	on "$1" nstat -asz "$2" | awk -v name="$2" '$1 == name { print $2 }'
}

# add_host NAME ADDRESS MAC: a namespace with eth0 on the service network.
add_host() {
	local name=$1
	ip netns add "$name"
	ip -n "$name" link set lo up
	add_service_device "$@"
}

# add_service_device NAME ADDRESS MAC: a namespace's eth0, on the service network.
add_service_device() {
	local name=$1 address=$2 mac=$3
	ip -n switch link add "${name}0" type veth peer name eth0 netns "$name" address "$mac"
	ip -n switch link set "${name}0" master br0 up
	# shellcheck disable=SC2086 # no word if it is empty
	ip -n "$name" addr add "$address/$prefix" dev eth0 $nodad
	ip -n "$name" link set eth0 up
}

# add_channel NODE: eth1, on the channel network. Its address is that of the node's eth0, but for one
# byte: a node that reboots keeps it.
add_channel() {
	local name=$1
	ip -n switch link add "${name}1" type veth peer name eth1 netns "$name" \
		address "${node_mac[$name]/%:00:0?/:01:0$name}"
	ip -n switch link set "${name}1" master br1 up
	# shellcheck disable=SC2086 # no word if it is empty
	ip -n "$name" addr add "${channel_address[$name]}/$prefix" dev eth1 $nodad
	ip -n "$name" link set eth1 up
}

topology_up() {
	local node bridge
	topology_down
	cleanup_hooks+=(topology_down)
	ip netns add switch
	for bridge in br0 br1; do
		ip -n switch link add "$bridge" type bridge forward_delay 0 mcast_snooping 0
		ip -n switch link set "$bridge" up
	done
	add_host client "$client_address" "$client_mac"
	for node in a b; do
		add_node "$node"
	done
}

# add_node NODE: a host that has both networks, and its sysfs for all to see.
add_node() {
	add_host "$1" "${node_address[$1]}" "${node_mac[$1]}"
	add_channel "$1"
	mkdir -p "$sysfs_mounts/$1"
	nsenter --net="/run/netns/$1" mount -t sysfs sysfs "$sysfs_mounts/$1"
}

# remove_node NODE: with all that it has, and nothing of it is heard.
remove_node() {
	kill_node "$1"
	end_processes "$1"
	end_sockets "$1"
	umount "$sysfs_mounts/$1"
	printf 'link del %s\n' "${1}0" "${1}1" | ip -n switch -batch -
	ip netns del "$1"
}

# end_processes NAMESPACE...: ends all that runs there.
end_processes() {
	local name pids
	for name in "$@"; do
		pids=$(ip netns pids "$name" 2>/dev/null) || continue
		# shellcheck disable=SC2086 # one word for each
		[ -z "$pids" ] || kill -9 $pids 2>/dev/null || true
	done
}

# end_sockets NAMESPACE: those that nobody has any more would keep the namespace for minutes, and the
# memory that all namespaces have for TCP.
end_sockets() {
	on "$1" ss -HtK state connected >/dev/null
}

topology_down() {
	local name
	for name in a b; do
		! mountpoint -q "$sysfs_mounts/$name" || umount "$sysfs_mounts/$name"
	done
	# A namespace ends when its last process and socket have.
	for name in $(ip netns list | cut -d' ' -f1); do
		end_processes "$name"
		end_sockets "$name" || true
		ip netns del "$name"
	done
}

# kill_node NODE: it stops dead.
kill_node() {
	printf 'link set %s down\n' "${1}0" "${1}1" | ip -n switch -batch -
}

# cut_channel NODE, cut_service NODE: one of its networks fails; mend_* bring it back.
cut_channel() { ip -n switch link set "${1}1" down; }
mend_channel() { ip -n switch link set "${1}1" up; }
cut_service() { ip -n switch link set "${1}0" down; }
mend_service() { ip -n switch link set "${1}0" up; }
