#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# shellcheck disable=SC2154 # variables of the files sourced
#
# cost.sh ROUNDS CONNECTIONS: what workloads cost with the module absent, loaded but not for their
# port (port 81), and protecting them (port 80); who pays; and what they cost beside 1, 1000 and
# CONNECTIONS idle connections. Runs in a guest whose clock counts instructions. Prints a line "figure
# {...}" for each measurement; fails when a workload does. Judges nothing: scripts/tcpfo/bench/cost.py
# makes tables of it.

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
		for way in absent unused protected; do
			use "$way"
			for workload in idle download upload requests connects {requests,connects}_alone; do
				"measure_$workload"
			done
		done
	done
}

holder_is_ready() {
	grep -q '^ready$' "$work/holder.log"
}

# hold NUMBER: so many idle connections; release: each gets one more answer, and ends.
hold() {
	mkfifo "$work/holder"
	nsenter --net=/run/netns/client "$load" "$service_address" "$port" hold "$www/small" "$1" \
		<"$work/holder" >"$work/holder.log" 2>&1 &
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
	local number last
	pass=connections
	use protected
	for last in {11..19}; do
		ip -n client addr add "${client_address%.*}.$last/$prefix" dev eth0
	done
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

split_pass() {
	local round workload way
	pass=split
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
for what in ${passes:-main split connections}; do
	"${what}_pass"
done
finish
