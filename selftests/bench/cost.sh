#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# shellcheck disable=SC2154 # variables of the files sourced
#
# cost.sh ROUNDS: what workloads cost with the module absent, loaded but not for their port (port 81),
# and protecting them (port 80). Runs in a guest whose clock counts instructions. Prints a line
# "figure {...}" for each measurement; fails when a workload does. Judges nothing: that is for
# scripts/tcpfo/bench.

. "$(dirname "$0")/../lib.sh"
. "$here/topology.sh"
nginx_connections=4096
# As Debian's own configuration has it; and connections that last.
nginx_options="sendfile on; tcp_nopush on; keepalive_requests 1000000000;"
. "$here/node.sh"
. "$here/bench/variants.sh"

rounds=${1:?usage: cost.sh ROUNDS}

bench_up
for ((round = 1; round <= rounds; round++)); do
	for way in absent unused protected; do
		use "$way"
		measure download "$www/large" 4
		measure upload "$www/large" 2
		measure requests "$www/small" 4000 16
		measure connects "$www/small" 1500 16
	done
done
finish
