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
. "$here/bench/variants.sh"
. "$here/node.sh"

rounds=${1:?usage: cost.sh ROUNDS}

bench_up
for ((round = 1; round <= rounds; round++)); do
	for way in absent unused protected; do
		use "$way"
		for workload in download upload requests connects; do
			"measure_$workload"
		done
	done
done
finish
