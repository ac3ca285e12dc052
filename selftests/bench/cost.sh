#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# shellcheck source-path=SCRIPTDIR/..
# shellcheck disable=SC2154,SC2034 # variables of the files sourced, and for them
#
# cost.sh ROUNDS CONNECTIONS: what workloads cost with the module absent, with empty hooks in its place,
# with it loaded but not for their port (port 81), and protecting them (port 80); who pays; what they
# cost beside 1, 1000 and CONNECTIONS idle connections; and what it costs that connections change their node,
# and that a download is regenerated. Runs in a guest whose clock counts instructions. Prints a line "figure
# {...}" for each measurement; fails when a workload does, or when its connections are not as protected as
# they are said to be. Judges nothing else: scripts/tcpfo/bench/cost.py makes tables of it.

. "$(dirname "$0")/../lib.sh"
. "$here/topology.sh"
. "$here/bench/variants.sh"
. "$here/node.sh"
. "$here/bench/split.sh"

rounds=${1:?usage: cost.sh ROUNDS CONNECTIONS}
connections=${2:?usage: cost.sh ROUNDS CONNECTIONS}
nginx_connections=$((connections + 10000))

main_pass() {
	local round workload way
	for ((round = 1; round <= rounds; round++)); do
		for way in absent empty unused protected; do
			use "$way"
			for workload in idle download upload requests connects; do
				"measure_$workload"
			done
			# Those are about latency.
			[ "$way" = empty ] || [ "$way" = unused ] || {
				measure_requests_alone
				measure_connects_alone
			}
		done
	done
}

connections_pass() {
	local number node
	pass=connections
	use protected
	for node in a b; do
		put "$node" limits/max_connections $((2 * connections))
	done
	for number in 1 1000 "$connections"; do
		hold "$number"
		need 60 at_least b services/web/connections "$number"
		measure_idle
		measure_requests
		measure_connects
		release
	done
}

# moves PASS COMMAND...: to node b, and all is as before.
moves() {
	pass=$1
	use protected
	"${@:2}"
	use absent
	ip -n client neigh flush all
}

handover_pass() { moves handover measure_handover; }

# repair_pass: handover_pass without the module, see repair.c.
repair_pass() {
	pass=handover
	use absent
	port=82
	nsenter --net=/run/netns/b "$repair" take "${channel_address[b]}" 7800 "$www/small" "$moved" \
		>"$work/take.log" 2>&1 &
	taker=$!
	mkfifo "$work/giver"
	nsenter --net=/run/netns/a "$repair" give "$service_address" "$port" "$www/small" "$moved" \
		"${channel_address[b]}" 7800 <"$work/giver" >"$work/give.log" 2>&1 &
	giver=$!
	exec 8>"$work/giver"
	need 10 listens a "$port"
	hold "$moved" 10
	ip -n a addr del "$service_address/$host_prefix" dev eth0
	service_address_up b
	ip -n client neigh flush all
	exec 8>&-
	wait "$giver" || repair_failed give
	tell_figure "$work/give.log"
	release
	wait "$taker" || repair_failed take
	ip -n b addr del "$service_address/$host_prefix" dev eth0
	service_address_up a
	ip -n client neigh flush all
}

repair_failed() {
	tap_result "not ok" "repair $1: $(tail -n 1 "$work/$1.log")"
	exit 1
}

# absorb_pass: a download is regenerated from its beginning; twice, as the difference between a long and a short
# one has nothing of the handover itself.
absorb_pass() {
	local bytes
	for bytes in 1000000 30000000; do
		moves absorb measure_takeover 1 100mbit "$bytes"
	done
}

split_pass() {
	local round workload way
	pass="split"
	use absent
	split_up
	for ((round = 1; round <= (rounds + 2) / 3; round++)); do
		for way in absent protected; do
			split_use "$way"
			for workload in download upload requests connects; do
				"measure_$workload"
			done
		done
	done
}

bench_up
for what in ${passes:-main handover repair absorb connections split}; do
	"${what}_pass"
done
finish
