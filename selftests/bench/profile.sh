#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# shellcheck source-path=SCRIPTDIR/..
# shellcheck disable=SC2154,SC2034 # variables of the files sourced, and for them
#
# profile.sh WORKLOAD [VARIANT]: where the instructions of a workload go: perf looks every 25,000
# instructions. Runs in a guest whose clock counts them. Leaves in the artefact folder, named after
# both, the functions, the threads, and who called the functions (calls).

. "$(dirname "$0")/../lib.sh"
. "$here/topology.sh"
. "$here/bench/variants.sh"
. "$here/node.sh"

workload=${1:?usage: profile.sh WORKLOAD [VARIANT]}
results=${TCPFO_OUT:-/out}/profile-$workload-${2:-protected}

# report WHAT OPTION...
report() {
	perf report -i "$work/perf.data" --stdio -q --kallsyms /proc/kallsyms --percent-limit 0.03 \
		"${@:2}" 2>/dev/null | grep -v '^$' >"$results/$1" || true
}

bench_up
use "${2:-protected}"
mkdir -p "$results"
# A rate is refused while nothing limits it.
sysctl -qw kernel.perf_cpu_time_max_percent=25 kernel.perf_event_max_sample_rate=100000 \
	kernel.perf_cpu_time_max_percent=0
load_runner=(perf record -q -a -g --kernel-callchains -e cpu-clock -c 50000 -m 4096 -o "$work/perf.data")
measure_"$workload"
report functions --no-children -g none -s dso,symbol
report threads --no-children -g none -s comm
report functions-by-thread --no-children -g none -s comm,dso,symbol
report calls --no-children -g caller,0.5,callee,function,percent -s dso,symbol
report with-callees --children -g none -s dso,symbol
head -n 60 "$results/functions"
finish
