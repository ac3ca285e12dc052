#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# soak.sh (make soak): for MINUTES= (10), under a random load of downloads, uploads, requests and
# idle connections, nodes crash and come back, and hand over to each other, to and fro. Two clients
# ask one thing after another all the time, on connections that outlive it all. SEED= repeats what is
# random. For a guest.
#
# Fails if one byte is wrong, a connection does not end well, or a client saw anything of it; and if
# in the end anything is left: connections, bytes of replicas, sockets, threads, kernel memory.

. "$(dirname "$0")/lib.sh"
. "$here/topology.sh"
. "$here/node.sh"
. "$here/client.sh"

minutes=${MINUTES:-10}
connections=${CONNECTIONS:-16}
active=a
standby=b
rounds=0
crashes=0
handovers=0
streams=0
wire_bytes=0
takeovers_seen=0
lasting=(first second)

# request_points NODE
request_points() {
	put "$1" services/web/safe_points request
}

# lasting_start, lasting_stop: the clients that ask all the time.
lasting_start() {
	local name
	for name in "${lasting[@]}"; do
		mkdir -p "$work/$name"
		rm -f "$work/$name/stop"
		nsenter --net=/run/netns/client python3 "$here/programs/keepalive.py" \
			"$service_address" "$service_port" /answer "$www/answer" "$work/$name" \
			>"$work/$name.log" 2>&1 &
		lasting_pids+=($!)
	done
}

lasting_stop() {
	local name pid code=0
	for name in "${lasting[@]}"; do
		touch "$work/$name/stop"
	done
	for pid in "${lasting_pids[@]}"; do
		wait "$pid" || code=1
	done
	lasting_pids=()
	for name in "${lasting[@]}"; do
		sed "s/^/$name: /" "$work/$name.log"
	done
	return "$code"
}

lasting_run() {
	local pid
	for pid in "${lasting_pids[@]}"; do
		kill -0 "$pid" || return
	done
}

# load_start, load_wait: connections of all kinds that are under way, and go on when they are told.
load_start() {
	# An upload that is stored for the first time is answered in another way.
	rm -f "$work/go" "$work/clients.log" "$work"/nginx-[ab]/store/*
	SEED=$((SEED + rounds)) nsenter --net=/run/netns/client python3 "$here/clients.py" \
		--address "$service_address" --port "$service_port" --file "$www/file" \
		--store "$work/nginx-$standby/store" --connections "$connections" --go "$work/go" \
		--timeout 90 >"$work/clients.log" 2>&1 &
	load_pid=$!
	wait_for 60 grep -q '^ready$' "$work/clients.log"
}

load_wait() {
	local code=0
	touch "$work/go"
	wait "$load_pid" || code=1
	[ "$code" -eq 0 ] || grep -v '^#' "$work/clients.log"
	return "$code"
}

hand_over() {
	put "$active" services/web/handover 1
}

# crash: the active node dies.
crash() {
	kill_node "$active"
	wait_for 20 reads "$standby" services/web/state active
}

# one_round EVENT: the load is under way, it happens, and all goes on at the other node.
one_round() {
	local event=$1 code=0
	rounds=$((rounds + 1))
	printf 'round %d: %s of node %s\n' "$rounds" "$event" "$active"
	capture_start
	load_start && happens "$event" || code=1
	load_wait || code=1
	capture_stop
	change_places
	[ "$code" -ne 0 ] || round_is_clean || code=1
	[ "$code" -eq 0 ] || cp "$capture" "$work/round-$rounds.pcap"
	[ "$code" -eq 0 ] && protection_returns "$event"
}

# happens EVENT: a handover is refused until all that moved before is protected again.
happens() {
	case $1 in
	crash)
		wait_for 30 reads "$standby" services/web/takeover_ready 1 && crash
		crashes=$((crashes + 1))
		;;
	handover)
		wait_for 30 hand_over
		handovers=$((handovers + 1))
		;;
	esac
}

round_is_clean() {
	reads "$active" services/web/state active && reads "$active" stats/connections_failed 0 &&
		lasting_run && wire_is_clean --takeovers 1 || return
	count_wire
}

# count_wire: what the capture of this round adds to the totals.
count_wire() {
	local bytes moved
	bytes=$(awk '/^total:/ { print $2 + $9 }' "$work/wirecheck.txt")
	moved=$(sed -n '1s/.*connections, \([0-9]*\) of them taken over/\1/p' "$work/wirecheck.txt")
	wire_bytes=$((wire_bytes + bytes))
	takeovers_seen=$((takeovers_seen + moved))
	streams=$((streams + connections))
}

protection_returns() {
	if [ "$1" = crash ]; then
		node_returns "$standby"
		request_points "$standby"
	fi
	wait_for 30 reads "$active" services/web/protected 1 &&
		wait_for 60 reads "$standby" services/web/takeover_ready 1
}

# nobody_is_left: no connection anywhere, and none that is remembered.
nobody_is_left() {
	local node
	for node in a b; do
		reads "$node" limits/connections 0 && reads "$node" limits/replica_bytes 0 || return
	done
	for node in a b client; do
		on "$node" grep -q '^TCP: inuse [0-9]* orphan 0 tw 0 ' /proc/net/sockstat || {
			echo "$node has"
			on "$node" cat /proc/net/sockstat
			on "$node" ss -Htano state connected
			return 1
		}
	done
}

# holdings: what the kernel holds that connections or nodes are made of, as NAME NUMBER, sorted.
holdings() {
	{ slabs; others; } | sort
}

slabs() {
	awk '$1 ~ /^(TCP|TCPv6|tw_sock_TCP|request_sock_TCP|tcp_bind_bucket|tcp_bind2_bucket|net_namespace|skbuff_head_cache|skbuff_fclone_cache|kmalloc-.*)$/ { print $1, $2 }' /proc/slabinfo
}

others() {
	awk '/^SUnreclaim:/ { print "kilobytes", $2 }' /proc/meminfo
	awk '/^TCP:/ { print "sockets", $9 }' /proc/net/sockstat
	printf 'namespaces %d\n' "$(ip netns list | wc -l)"
	printf 'threads %d\n' "$(grep -l '^tcpfo/' /proc/[0-9]*/comm 2>/dev/null | wc -l)"
}

# nothing_leaks: no cache has grown by so much as half an object for each connection, nor is there one
# more socket, namespace or thread.
nothing_leaks() {
	holdings >"$work/holdings.after"
	join "$work/holdings.before" "$work/holdings.after" >"$work/holdings"
	awk -v streams="$streams" '
		{ exact = $1 ~ /^(sockets|namespaces|threads)$/; slack = exact ? 0 : 200 + streams / 2 }
		$1 == "kilobytes" { slack = 4096 }
		{ print }
		$3 > $2 + slack { print "has grown: " $0; wrong = 1 }
		END { exit wrong || NR == 0 }' "$work/holdings"
}

# rest: everybody has gone, and the machine has had time to notice.
rest() {
	wait_for 120 nobody_is_left || {
		nobody_is_left
		return 1
	}
}

seed
RANDOM=$((SEED % 32768))
random_file file $((2 << 20))
random_file answer 30000
cluster_up
for node in a b; do
	request_points "$node"
done
lasting_pids=()

# Caches are filled before they are looked at.
lasting_start
check "a crash to begin with" one_round crash
check "the clients that ask all the time end well" lasting_stop
check "nothing is left of it" rest
holdings >"$work/holdings.before"
streams=0 wire_bytes=0 takeovers_seen=0

lasting_start
began=$SECONDS
while [ $((SECONDS - began)) -lt $((minutes * 60)) ] && [ "$tap_failed" -eq 0 ]; do
	event=$([ $((RANDOM % 2)) -eq 0 ] && echo crash || echo handover)
	check "round $((rounds + 1)): $event of node $active" one_round "$event"
done
tap_note "$((SECONDS - began)) s: $rounds rounds, $crashes crashes, $handovers handovers"
tap_note "$streams connections ended well, $takeovers_seen moved, $wire_bytes bytes on the wire"
check "the clients that ask all the time end well" lasting_stop
tap_note "$(cat "$work/first.log" "$work/second.log" | paste -sd' ') answers"
check "nothing is left of any connection" rest
check "nothing leaks" nothing_leaks
sed 's/^/# /' "$work/check.log" | head -n 40
finish
