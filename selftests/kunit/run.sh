#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# run.sh: the tests of the module's core in a kernel: KUnit under User-Mode Linux, as TAP. Runs in
# the sandbox.
#
# They are the same tests, from the same lines, as those of selftests/unit. In addition the module
# as a whole is loaded and unloaded under lockdep, which Debian's kernel does not have, and looked
# at by kmemleak.

set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)
. "$here/../tap.sh"

log=$(mktemp)
trap 'rm -f "$log"' EXIT
code=0
# shellcheck disable=SC2016 # expanded by the guest's shell
TCPFO_TIMEOUT=120 "$here/../uml/run.sh" kunit '
	leaks=/sys/kernel/debug/kmemleak
	say() { dmesg -c | sed "s/^\[ *[0-9.]*\] //"; }
	dmesg -n 1
	dmesg -C
	for i in 1 2 3; do
		insmod /job/module/tcp_failover.ko && rmmod tcp_failover || exit
		say
		echo "selftest: loaded"
	done
	# What was still in a register the first time is no leak. What is younger than five seconds is
	# not told by kmemleak itself (MSECS_MIN_AGE).
	echo scan >$leaks && sleep 6 && echo scan >$leaks && echo "selftest: scanned"
	say
	cat $leaks
	echo "selftest: done"' >"$log" 2>&1 || code=$?

# check NAME COMMAND...
check() {
	if "${@:2}"; then
		tap_result ok "$1"
	else
		tap_result "not ok" "$1"
	fi
}
clean() {
	PYTHONPATH=$top/scripts python3 -c '
import sys
from tcpfo import klog
reports = klog.reports(sys.argv[1])
for line in reports:
    print("#", line)
sys.exit(bool(reports))' "$log"
}
# no_leak: kmemleak has looked, which it refuses when it is off, as after it ran out of memory.
no_leak() {
	grep -q '^selftest: scanned$' "$log" || {
		echo "# kmemleak did not look"
		return 1
	}
	! grep -A 20 '^unreferenced object' "$log" | sed 's/^/# /' | grep .
}

# The tests run each time that the module is loaded: once is enough here. A test is one level
# deeper than its suite, whose result follows from it.
suite=
while IFS= read -r line; do
	case $line in
	"    # Subtest: "*) suite=${line#*: } ;;
	"    ok "*) tap_result ok "$suite: ${line#    ok * }" ;;
	"    not ok "*) tap_result "not ok" "$suite: ${line#    not ok * }" ;;
	esac
done < <(sed '/^selftest: loaded/q' "$log")
tests=$tap_count
check "there are tests" test "$tests" -gt 0
check "the module is loaded and unloaded under lockdep" grep -q '^selftest: done$' "$log"
check "the kernel log is clean" clean
check "nothing leaks" no_leak
check "the kernel powers off by itself" test "$code" -eq 0
[ "$tap_failed" -eq 0 ] || tail -n 60 "$log" | sed 's/^/# /'
tap_end
