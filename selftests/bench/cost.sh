#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# shellcheck source-path=SCRIPTDIR/..
# shellcheck disable=SC2154,SC2034 # variables of the files sourced, and for them
#
# cost.sh ROUNDS CONNECTIONS: what workloads cost with the module absent, with empty hooks in its place,
# with it loaded but not for their port (port 81), and protecting them (port 80); who pays; and what they
# cost beside 1, 1000 and CONNECTIONS idle connections. Runs in a guest whose clock counts instructions.
# Prints a line "figure {...}" for each measurement; fails when a workload does. Judges nothing:
# scripts/tcpfo/bench/cost.py makes tables of it.

. "$(dirname "$0")/../lib.sh"
. "$here/topology.sh"
. "$here/bench/variants.sh"
. "$here/node.sh"
. "$here/bench/split.sh"

rounds=${1:?usage: cost.sh ROUNDS CONNECTIONS}
connections=${2:?usage: cost.sh ROUNDS CONNECTIONS}
nginx_connections=$((connections + 10000))
# Connections that are handed over.
moved=1000

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

holder_is_ready() {
	grep -q '^ready$' "$work/holder.log"
}

# hold NUMBER [EACH]: so many idle connections, of which one of each EACH has begun to ask; release: all
# get one more answer, and end. What repair_pass() tells its program is not for this one.
hold() {
	mkfifo "$work/holder"
	nsenter --net=/run/netns/client "$load" "$service_address" "$port" hold "$www/small" "$1" "${2:-0}" \
		<"$work/holder" >"$work/holder.log" 2>&1 8>&- &
	holder=$!
	exec 7>"$work/holder"
	need 600 holder_is_ready
	held=$1
}

release() {
	exec 7>&-
	wait "$holder" || {
		tap_result "not ok" "the connections that idled go on: $(tail -n 1 "$work/holder.log")"
		exit 1
	}
	rm "$work/holder"
	held=0
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

# moves: a thousand connections, of which a tenth waits for the rest of a request.
handover_pass() {
	pass=handover
	use protected
	hold "$moved" 10
	need 60 at_least b services/web/connections "$moved"
	need 60 at_least a stats/rests $((moved * 9 / 10))
	measure handover "$(sysfs a services/web/handover)" "$(sysfs b services/web/takeover/restored)" \
		"$moved"
	release
	use absent
	ip -n client neigh flush all
}

# repair_pass: the same without the module, see repair.c.
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
	need 10 giver_listens
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

giver_listens() {
	on a ss -Htln "sport = :$port" | grep -q .
}

repair_failed() {
	tap_result "not ok" "repair $1: $(tail -n 1 "$work/$1.log")"
	exit 1
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
for what in ${passes:-main handover repair connections split}; do
	"${what}_pass"
done
finish
