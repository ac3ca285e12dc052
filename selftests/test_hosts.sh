#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Nodes as operators set them up: strict reverse path filters, the service's address on lo, policy
# routing, packet filters that drop what is not allowed, with and without connection tracking, a VLAN
# or a bridge as the service's device. Connections of all kinds survive a takeover on each of them.
#
# And what is not supported is said to be unprotected, and works as without the module: MPTCP, data in
# the SYN (TCP Fast Open), TCP-MD5, urgent data. An MPTCP client of a server without it is one of TCP.
#
# Fails if a connection of one of these gets a wrong byte, a reset or no answer, if what a host is set
# up for has not happened at all (see the counters of filters and stack), or if an unprotected
# connection is not counted, or counted as something else. SEED= repeats the connections.

. "$(dirname "$0")/lib.sh"
. "$here/topology.sh"
. "$here/node.sh"
. "$here/client.sh"

connections=8
# Where the service's clients are, and where its address is.
device=eth0
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
		ip -n "$node" addr add "$service_address/32" dev "$address_device"
		nginx_up "$node"
	done
	load_module
	channel_up a
	channel_up b
	host_service a primary web "$service_port"
	host_service b backup web "$service_port"
	need 30 reads b services/web/takeover_ready 1
}

# host_service NODE ROLE NAME PORT
host_service() {
	local file="services/$3"
	put "$1" services/create "$3"
	put "$1" "$file/address" "$service_address"
	put "$1" "$file/port" "$4"
	put "$1" "$file/device" "$device"
	put "$1" "$file/role" "$2"
}

strict_rp_filter() {
	on "$1" sysctl -qw net.ipv4.conf.all.rp_filter=1 net.ipv4.conf.eth0.rp_filter=1
}

address_on_lo() {
	address_device=lo
}

# policy_routing NODE: only what comes from the service's address has a way to the clients.
policy_routing() {
	ip -n "$1" rule add priority 100 from "$service_address" lookup 100
	ip -n "$1" route add "${client_address%.*}.0/24" dev eth0 table 100
	ip -n "$1" route del "${client_address%.*}.0/24" dev eth0
}

# vlan NODE: tagged between it and the switch.
vlan() {
	device=eth0.7
	address_device=$device
	ip -n "$1" addr flush dev eth0
	ip -n "$1" link add link eth0 name "$device" type vlan id 7
	ip -n "$1" addr add "${node_address[$1]}/24" dev "$device"
	ip -n "$1" link set "$device" up
	ip -n switch link set "${1}0" nomaster
	ip -n switch link add link "${1}0" name "${1}0.7" type vlan id 7
	ip -n switch link set "${1}0.7" master br0 up
}

# bridge NODE: eth0 is one of its ports.
bridge() {
	device=br5
	address_device=$device
	ip -n "$1" addr flush dev eth0
	ip -n "$1" link add "$device" address "${node_mac[$1]}" type bridge forward_delay 0
	ip -n "$1" link set eth0 master "$device"
	ip -n "$1" addr add "${node_address[$1]}/24" dev "$device"
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
	on "$1" conntrack -L -p tcp --dport "$service_port" 2>/dev/null | grep .
}

# connect PORT: the exit code of curl: 7 refused, 28 no answer.
connect() {
	local code=0
	on client curl --silent --output /dev/null --connect-timeout 2 \
		"http://$service_address:$1/file" || code=$?
	echo "$code"
}

all_are_under_way() {
	grep -q '^ready$' "$work/clients.log"
}

# survive WHAT: connections of all kinds, and one takeover.
survive() {
	local what=$1 failed=$tap_failed code=0 clients
	capture=$work/$what.pcap
	# What an earlier node has stored is not stored anew, but replaced.
	rm -rf "$work/go" "$work/clients.log" "$work"/nginx-b/store/*
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
	check "$what: the capture is whole" capture_is_whole
	check "$what: no client saw anything of it" wire_is_clean
	# The next cluster replaces this one.
	if [ "$tap_failed" -gt "$failed" ]; then
		mkdir -p "$work/$what"
		keep_counters "$work/$what"
		on b nft list ruleset >"$work/$what/b.nft" || true
		on b conntrack -L >"$work/$what/b.conntrack" 2>&1 || true
	fi
}

# server_up PORT [OPTION...]: on node a.
server_up() {
	nsenter --net=/run/netns/a python3 "$here/programs/server.py" --port "$1" --file "$www/file" \
		"${@:2}" 2>"$work/server-$1.log" &
	need 30 listens "$1"
}

listens() {
	on a ss -tlnH "sport = :$1" | grep .
}

# stack HOST:COUNTER: what the stack there has counted.
stack() {
	on "${1%:*}" nstat -asz "${1#*:}" | awk -v name="${1#*:}" '$1 == name { print $2 }'
}

# download KIND PORT SERVICE COUNTER [STACK]: one connection that is slow enough to be looked at, which
# is counted in COUNTER of the module, and in STACK of a stack.
download() {
	local kind=$1 to=$2 name=$3 counter=$4 stack=${5:-} code=0 before stack_before=0 process
	before=$(get a "stats/$counter")
	[ -z "$stack" ] || stack_before=$(stack "$stack")
	rm -f "$work/$kind.log"
	nsenter --net=/run/netns/client python3 "$here/programs/downloads.py" --kind "$kind" \
		--address "$service_address" --port "$to" --file "$www/file" --rate 1000000 \
		--go "$work/never" --timeout 30 >"$work/$kind.log" 2>&1 &
	process=$!
	need 30 grep -q '^ready$' "$work/$kind.log"
	check "$kind: it is counted in $counter" wait_for 5 reads a "stats/$counter" $((before + 1))
	if [ "$counter" != connections_protected ]; then
		check "$kind: node b is not ready" wait_for 5 reads b "services/$name/takeover_ready" 0
	fi
	wait "$process" || code=$?
	[ -z "$stack" ] || check "$kind: it was one" fails is "$(stack "$stack")" "$stack_before"
	check "$kind: it ends well, byte by byte" is "$code $(grep ^failed "$work/$kind.log")" "0 "
}

seed
random_file file $((1 << 20))

host_cluster strict_rp_filter address_on_lo
survive lo

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

# Nobody dies from here on.
cluster_up
server_up 83 --mptcp
server_up 84 --fastopen
server_up 85 --sign-for "$client_address"
for special in mptcp:83 fastopen:84 md5:85; do
	host_service a primary "${special%:*}" "${special#*:}"
	host_service b backup "${special%:*}" "${special#*:}"
done
for special in mptcp fastopen md5; do
	need 30 reads b "services/$special/takeover_ready" 1
done
on a sysctl -qw net.ipv4.tcp_fastopen=3
on client sysctl -qw net.ipv4.tcp_fastopen=3
download mptcp 83 mptcp unprotected_special a:MPTcpExtMPCapableACKRX
# The server does not speak it.
download mptcp "$service_port" web connections_protected client:MPTcpExtMPCapableSYNTX
# The first one asks for a cookie, as any connection may.
download fastopen 84 fastopen connections_protected a:TcpExtTCPFastOpenCookieReqd
download fastopen 84 fastopen unprotected_unlogged a:TcpExtTCPFastOpenPassive
download md5 85 md5 unprotected_special
download urgent "$service_port" web unprotected_urgent
for special in web mptcp fastopen md5; do
	check "$special: node b is ready again" wait_for 60 reads b "services/$special/takeover_ready" 1
done
finish
