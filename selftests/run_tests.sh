#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# run_tests.sh [NAME...]: runs tests (test_NAME.sh) one after another, each in a process and
# namespaces of its own, and prints one TAP stream. When none is named: all but the slow ones, which
# are what `slow` names, and those that have to be named. For a guest: it loads the module and makes
# network namespaces.
#
# A test that crashes, hangs, or ends without having checked anything has failed. Exits 1 if
# anything did; the closing line is `N passed, N failed`.

set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/tap.sh"

# Seconds that a test may take.
timeout=${TCPFO_TIMEOUT:-300}
log=$(mktemp)
trap 'rm -f "$log"' EXIT

# run NAME: its results, each with the test's name in front.
run() {
	local name=$1 line code started=$SECONDS before=$tap_failed results=0
	tap_note "test_$name.sh"
	timeout --kill-after=30 "$timeout" bash "$here/test_$name.sh" >"$log" 2>&1
	code=$?
	while IFS= read -r line; do
		case $line in
		"1..0 # SKIP"*) tap_result ok "$name" "${line#1..0 # }" && results=1 ;;
		"ok "*) tap_result ok "$name: ${line#ok * - }" && results=1 ;;
		"not ok "*) tap_result "not ok" "$name: ${line#not ok * - }" && results=1 ;;
		1..*) ;;
		"#"*) printf '%s\n' "$line" ;;
		*) tap_note "$line" ;;
		esac
	done <"$log"
	case $code in
	0 | 4) [ "$results" -gt 0 ] || tap_result "not ok" "$name: checks something" ;;
	124 | 137) tap_result "not ok" "$name: ends within $timeout s" ;;
	*) [ "$tap_failed" -gt "$before" ] || tap_result "not ok" "$name: ends well (exit $code)" ;;
	esac
	tap_note "test_$name.sh took $((SECONDS - started)) s"
}

# Many connections, networks, listeners, hosts or peers: a minute or more each.
slow=(aggregates bad_network flood foreign_client hosts hostile listeners options peers scale sequence services states
	unsupported windows)
# Minutes for a benchmark, a quarter of an hour for a million connections: only when they are named.
named=(bench_hw million)

names=("$@")
if [ "$*" = slow ]; then
	names=("${slow[@]}")
elif [ "${#names[@]}" -eq 0 ]; then
	for test in "$here"/test_*.sh; do
		test=${test##*/test_}
		test=${test%.sh}
		[[ " ${slow[*]} ${named[*]} " == *" $test "* ]] || names+=("$test")
	done
fi
printf 'TAP version 13\n'
for name in "${names[@]}"; do
	name=${name#test_}
	run "${name%.sh}"
done
code=0
tap_end || code=1
printf '%d passed, %d failed\n' "$((tap_count - tap_failed))" "$tap_failed"
exit "$code"
