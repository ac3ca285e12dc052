#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# test.sh [PART...]: runs all tests (make test), or some of the parts below, as one TAP stream; the
# last line is `N passed, N failed`. Runs on the host; everything happens in the sandbox and in
# guests. Wants build/tcp_failover.ko, build/test/tcp_failover.ko and build/wirecheck, which make test
# makes.
#
# Each part prints TAP of its own. What counts is what it printed: its results, one more failure if
# it ended badly, late, or with another number of results than it had planned, and one for each test
# that was skipped although expected_skips does not name it.

set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/.." && pwd)
out=${TCPFO_OUT:-$top/build/out}
. "$here/tap.sh"
mkdir -p "$out"

sandbox=$top/scripts/in-sandbox
# commit is the long form of one of the namespaces' tests: only when it is named.
# tcp are the namespaces' tests that take long, in a short form; slow are they in their long form, only
# when it is named.
# hw is the benchmark on real machines, on namespaces, hw_crash the same on guests, million what its name says:
# only when they are named.
# lockdep runs transfers under a kernel that watches its locks: slow, so only when it is named.
parts=(unit wirecheck table namespaces tcp crash kunit)

# How many seconds each may take.
declare -A seconds=([unit]=300 [wirecheck]=120 [table]=60 [namespaces]=1800 [tcp]=2400 [crash]=300
	[kunit]=1800
	[slow]=3000 [hw]=1200 [hw_crash]=1800 [million]=3600 [commit]=7200 [lockdep]=900)

# part NAME: its command.
part() {
	case $1 in
	unit | wirecheck | table | kunit) "$sandbox" "selftests/$1/run.sh" ;;
	namespaces)
		"$top/scripts/guest" --name namespaces \
			"${SEED:+SEED=$SEED }/src/selftests/run_tests.sh"
		;;
	tcp)
		"$top/scripts/guest" --name tcp \
			"SHORT=1 TCPFO_TIMEOUT=400 ${SEED:+SEED=$SEED }/src/selftests/run_tests.sh slow"
		;;
	slow)
		"$top/scripts/guest" --name slow \
			"TCPFO_TIMEOUT=700 ${SEED:+SEED=$SEED }/src/selftests/run_tests.sh slow"
		;;
	commit)
		"$top/scripts/guest" --name commit \
			"TCPFO_TIMEOUT=7000 ROUNDS=100 ${SEED:+SEED=$SEED }/src/selftests/run_tests.sh commit"
		;;
	million)
		"$top/scripts/guest" --name million \
			"TCPFO_TIMEOUT=3500 /src/selftests/run_tests.sh million"
		;;
	hw)
		"$top/scripts/guest" --name hw --memory 2048 \
			"TCPFO_TIMEOUT=1100 /src/selftests/run_tests.sh bench_hw"
		;;
	crash) "$sandbox" python3 selftests/crash/crash.py ;;
	hw_crash) "$sandbox" python3 selftests/crash/bench_hw.py ;;
	lockdep)
		"$sandbox" selftests/uml/run.sh lockdep 'dmesg -n 1
			export ROUNDS=3 TCPFO_MODULE=/job/module/tcp_failover.ko
			selftests/run_tests.sh download upload load'
		;;
	*)
		echo "no part $1: choose of ${parts[*]}" >&2
		return 2
		;;
	esac
}

# is_expected NAME: whether that skip is listed.
is_expected() {
	grep -qxF "$1" <(grep -v '^#' "$here/expected_skips")
}

# count PART CODE: turns the part's TAP into results of ours.
count() {
	local part=$1 code=$2 line results=0 planned='' before=$tap_failed
	while IFS= read -r line; do
		case $line in
		"ok "*"# SKIP"*)
			results=$((results + 1))
			line=${line#ok * - }
			if is_expected "$part: ${line%% # SKIP*}"; then
				tap_result ok "$part: ${line%% # SKIP*}" "SKIP ${line#*# SKIP }"
			else
				tap_result "not ok" "$part: ${line%% # SKIP*}" "skipped: ${line#*# SKIP }"
			fi
			;;
		"ok "*) results=$((results + 1)) && tap_result ok "$part: ${line#ok * - }" ;;
		"not ok "*)
			results=$((results + 1))
			tap_result "not ok" "$part: ${line#not ok * - }"
			;;
		1..*) planned=${line#1..} ;;
		"TAP version"* | *" passed, "*" failed") ;;
		*) tap_note "${line#\# }" ;;
		esac
	done
	if [ "$results" != "$planned" ]; then
		tap_result "not ok" "$part: has as many results as it planned" \
			"$results of ${planned:-none}"
	elif [ "$code" -eq 124 ]; then
		tap_result "not ok" "$part: ends in time"
	elif [ "$code" -ne 0 ] && [ "$tap_failed" -eq "$before" ]; then
		tap_result "not ok" "$part: ends well" "exit code $code"
	fi
}

# run PART: in a process group of its own, so that all of it ends in time.
run() {
	local part=$1 log=$out/$1.tap code=0 began=$SECONDS
	timeout --kill-after=30 "${seconds[$part]:-60}" bash "$here/test.sh" --only "$part" >"$log" 2>&1 </dev/null ||
		code=$?
	[ "$code" -ne 137 ] || code=124
	count "$part" "$code" <"$log"
	tap_note "$part took $((SECONDS - began)) s"
}

if [ "${1:-}" = --only ]; then
	part "$2"
	exit
fi
[ $# -eq 0 ] || parts=("$@")
# The kernel for KUnit and lockdep takes ten minutes the first time: it is built, in the background,
# while the other parts run, most of which leave a processor idle.
builder=
case " ${parts[*]} " in
*" kunit "* | *" lockdep "*)
	"$sandbox" nice -n 19 selftests/uml/build.sh >"$out/uml-build.log" 2>&1 </dev/null &
	builder=$!
	;;
esac
trap '[ -z "$builder" ] || kill "$builder" 2>/dev/null' EXIT

printf 'TAP version 13\n'
for part in "${parts[@]}"; do
	case $part in
	kunit | lockdep) [ -z "$builder" ] || wait "$builder" || true ;;
	esac
	run "$part"
done
code=0
tap_end || code=1
printf '%d passed, %d failed\n' "$((tap_count - tap_failed))" "$tap_failed"
exit "$code"
