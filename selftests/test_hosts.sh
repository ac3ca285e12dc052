#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Nodes as operators set them up: strict reverse path filters, the service's address on lo, policy
# routing, packet filters that drop what is not allowed, with and without connection tracking, a VLAN
# or a bridge as the service's device. Connections of all kinds survive a takeover on each of them.
#
# Fails if a connection of one of these gets a wrong byte, a reset or no answer, or if what a host is set
# up for has not happened at all (see the counters of filters). SEED= repeats the connections.

. "$(dirname "$0")/lib.sh"
. "$here/topology.sh"
. "$here/node.sh"
. "$here/client.sh"

connections=8
# Where the service's address is.
address_device=eth0

# host_cluster SETTING...: like cluster_up, on hosts that each SETTING has set up; it is called with
# the node's name.
host_cluster() {
	local node setting
	topology_up
	keep_hooks=(keep_counters)
	device=eth0
	address_device=eth0
	for node in a b; do
		for setting in "$@"; do
			"$setting" "$node"
		done
		[ "$family" = 6 ] || host_address_up "$node"
		nginx_up "$node"
	done
	module_up
	# See cluster_up.
	for node in a b; do
		[ "$family" != 6 ] || host_address_up "$node"
	done
	need 30 reads b services/web/takeover_ready 1
	for node in a b; do
		need 10 service_address_is_there "$node"
	done
}

host_address_up() {
	ip -n "$1" addr add "$service_address/$host_prefix" dev "$address_device"
}

# strict_rp_filter NODE: IPv6 has no sysctl for it. There nftables does the same for TCP; neighbour
# discovery speaks from addresses that have no route.
strict_rp_filter() {
	if [ "$family" = 6 ]; then
		on "$1" nft -f - <<-END
			table inet strict {
				chain prerouting {
					type filter hook prerouting priority raw;
					meta l4proto tcp fib saddr . iif oif missing counter drop
				}
			}
		END
	else
		on "$1" sysctl -qw net.ipv4.conf.all.rp_filter=1 net.ipv4.conf.eth0.rp_filter=1
	fi
}

address_on_lo() {
	address_device=lo
}

# policy_routing NODE: only what comes from the service's address has a way to the clients.
policy_routing() {
	ip -n "$1" "-$family" rule add priority 100 from "$service_address" lookup 100
	ip -n "$1" route add "${network[@]}" table 100
	ip -n "$1" route del "${network[@]}"
}

# node_address_up NODE: its own address moves to the service's device.
node_address_up() {
	ip -n "$1" addr flush dev eth0
	# shellcheck disable=SC2086 # no word if it is empty
	ip -n "$1" addr add "${node_address[$1]}/$prefix" dev "$device" $nodad
}

# vlan NODE: tagged between it and the switch.
vlan() {
	device=eth0.7
	address_device=$device
	ip -n "$1" link add link eth0 name "$device" type vlan id 7
	node_address_up "$1"
	ip -n "$1" link set "$device" up
	ip -n switch link set "${1}0" nomaster
	ip -n switch link add link "${1}0" name "${1}0.7" type vlan id 7
	ip -n switch link set "${1}0.7" master br0 up
}

# bridge NODE: eth0 is one of its ports.
bridge() {
	device=br5
	address_device=$device
	ip -n "$1" link add "$device" address "${node_mac[$1]}" type bridge forward_delay 0
	ip -n "$1" link set eth0 master "$device"
	node_address_up "$1"
	ip -n "$1" link set "$device" up
}

# filter NODE [RULE]: nothing comes in but what is allowed.
filter() {
	on "$1" nft -f - <<-END
		table inet filter {
			chain input {
				type filter hook input priority filter; policy drop;
				${2:-}
				iifname { "lo", "eth1" } accept
				meta l4proto ipv6-icmp accept
				tcp dport $service_port counter accept
				counter
			}
		}
	END
}

plain_filter() {
	filter "$1"
}

tracking_filter() {
	filter "$1" "ct state invalid counter drop
		ct state established accept"
}

tracking_on_a() {
	[ "$1" != a ] || tracking_filter a
}

tracking_on_b() {
	[ "$1" != b ] || tracking_filter b
}

# filters_at_work NODE: it has let packets of the service through, and dropped others.
filters_at_work() {
	on "$1" nft list chain inet filter input >"$work/nft"
	cat "$work/nft"
	grep -q "dport $service_port counter packets [1-9].* accept" "$work/nft"
}

# tracks NODE: connection tracking there knows a connection of the service.
tracks() {
	on "$1" conntrack -L -f "ipv$family" -p tcp --dport "$service_port" 2>/dev/null | grep .
}

# connect PORT: the exit code of curl: 7 refused, 28 no answer.
connect() {
	local code=0
	on client curl --silent --output /dev/null --connect-timeout 2 \
		"http://$service_host:$1/file" || code=$?
	echo "$code"
}

# survive WHAT: connections of all kinds, and one takeover.
survive() {
	local what=$1 failed=$tap_failed code=0 clients
	capture=$work/$what.pcap
	rm -f "$work/go" "$work/clients.log"
	capture_start
	nsenter --net=/run/netns/client python3 "$here/clients.py" --address "$service_address" \
		--port "$service_port" --file "$www/file" --store "$work/nginx-b/store" \
		--connections "$connections" --go "$work/go" --timeout 40 >"$work/clients.log" 2>&1 &
	clients=$!
	need 60 all_are_under_way
	check "$what: all are protected" reads a stats/connections_protected "$connections"
	kill_node a
	touch "$work/go"
	wait "$clients" || code=$?
	capture_stop
	check "$what: all connections end well" is "$code" 0
	grep '^failed' "$work/clients.log" | sed 's/^/# /' || true
	check "$what: all were restored" wait_for 5 reads b stats/connections_restored "$connections"
	check "$what: none failed" reads b stats/connections_failed 0
	check "$what: no client saw anything of it" wire_is_clean
	# The next cluster replaces this one.
	if [ "$tap_failed" -gt "$failed" ]; then
		mkdir -p "$work/$what"
		keep_counters "$work/$what"
		on b nft list ruleset >"$work/$what/b.nft" || true
		on b conntrack -L -f "ipv$family" >"$work/$what/b.conntrack" 2>&1 || true
	fi
}

seed
random_file file $((1 << 20))

host_cluster strict_rp_filter
survive strict

if [ "$family" = 6 ]; then
	cell lo absent "Linux answers no solicitation for an address that another device has"
else
	host_cluster strict_rp_filter address_on_lo
	survive lo
fi

host_cluster strict_rp_filter policy_routing
survive policy

host_cluster vlan plain_filter
check "vlan: the filter drops what is not allowed" is "$(connect 81)" 28
survive vlan
check "vlan: the filter lets the service through" filters_at_work b

host_cluster bridge tracking_on_a
survive bridge
check "bridge: node a tracks connections" tracks a

host_cluster tracking_on_b
survive tracking
check "tracking: node b tracks connections" tracks b
finish
