#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# run.sh: the tests of the module's core in a kernel: KUnit under User-Mode Linux, as TAP. Runs in
# the sandbox; builds the kernel first when it is not there (build.sh).
#
# They are the same tests, from the same lines, as those of selftests/unit. In addition the module
# as a whole is loaded and unloaded under lockdep, which Debian's kernel does not have.

set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)
. "$here/../tap.sh"
# shellcheck disable=SC1091
. /kernel.env

out=${TCPFO_OUT:-/out}/kunit
uml=$(nice "$here/build.sh")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$out"

# Not position independent: the module is linked at a fixed address, as all of this kernel is.
flags='-Crelocation-model=static -Ccode-model=large'
if ! make -s -C "$uml" ARCH=um M="$top" MO="$work/module" CC="$KERNEL_CC" \
	RUSTFLAGS_MODULE="$flags" modules >"$out/build.log" 2>&1 </dev/null; then
	tail -n 20 "$out/build.log" | sed 's/^/# /'
	tap_result "not ok" "the module is built for User-Mode Linux"
	tap_end
	exit 1
fi

# The kernel's root file system is this one; its first process is ours.
code=0
timeout --kill-after=5 120 "$uml/linux" mem=256M seccomp=on ncpus=2 root=/dev/root rootfstype=hostfs rw \
	init="$here/init" MODULE="$work/module/tcp_failover.ko" \
	<"/dev/null" >"$out/log" 2>&1 || code=$?
# The kernel's time stamps would hide the KTAP.
sed -E 's/^\[ *[0-9.]+\] //; s/\r$//' "$out/log" >"$work/log"

# Results of suites are the sum of those of their tests, which are one level deeper.
while IFS= read -r line; do
	line=${line#"    "}
	case $line in
	"ok "*) tap_result ok "${line#ok * }" ;;
	"not ok "*) tap_result "not ok" "${line#not ok * }" ;;
	esac
done < <(grep -E '^    (not )?ok [0-9]+ ' "$work/log")
[ "$tap_count" -gt 0 ] || tap_result "not ok" "there are KUnit tests"

# What KUnit says of the whole, a crash and a report of lockdep have no line of their own.
check() {
	if "${@:2}"; then
		tap_result ok "$1"
	else
		tap_result "not ok" "$1"
		tap_note "the kernel's log is $out/log"
	fi
}
clean() {
	PYTHONPATH=$top/scripts python3 -c '
import sys
from tcpfo import klog
reports = klog.reports(sys.argv[1])
for line in reports:
    print("#", line)
sys.exit(bool(reports))' "$work/log"
}
check "the module is loaded and unloaded under lockdep" grep -q '^tcpfo: done$' "$work/log"
check "the kernel log is clean" clean
check "the kernel powers off" test "$code" -eq 0
tap_end
