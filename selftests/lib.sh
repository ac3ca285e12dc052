# shellcheck shell=bash disable=SC2034 # variables for the tests
# SPDX-License-Identifier: GPL-2.0
#
# What the tests share: TAP, waiting, artefacts, cleaning up. Sourced by each test_*.sh, after
# which the test draws its topology (topology.sh), sets up its nodes (node.sh) and runs its
# clients (client.sh).
#
# A test is a series of `check`s and ends with `finish`. Whatever ends it, its one trap puts the
# machine back as it was; when something failed, captures, counters and logs are kept.

set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
. "$here/tap.sh"

# The exit code that kselftests skip with.
ksft_skip=4

test=$(basename "$0" .sh)
# The checkout, the built module, and where artefacts of a failure go.
top=$(cd "$here/.." && pwd)
module=${TCPFO_MODULE:-$top/build/tcp_failover.ko}
wirecheck=${TCPFO_WIRECHECK:-$top/build/wirecheck}
out=${TCPFO_OUT:-/out}/$test

work=$(mktemp -d "/tmp/$test.XXXXXX")
finished=

# skip REASON: the whole test cannot run here.
skip() {
	printf '1..0 # SKIP %s\n' "$*"
	finished=yes
	exit "$ksft_skip"
}

# check NAME COMMAND...: one result.
check() {
	local name=$1 code=0
	shift
	"$@" >"$work/check.log" 2>&1 || code=$?
	if [ "$code" -eq 0 ]; then
		tap_result ok "$name"
	else
		tap_result "not ok" "$name"
		tap_note "exit code $code of: $*"
		head -n 40 "$work/check.log" | sed 's/^/#   /'
	fi
}

# cell NAME passed|failed|unprotected|absent [REASON...]: a remark for the table that scripts/tcpfo/table.py
# makes; absent is what there is not in the IP version of this run.
cell() {
	printf '# cell %s\n' "$*"
}

# fails COMMAND...: turns its result round.
fails() {
	! "$@"
}

# is ACTUAL EXPECTED: equality that says what it saw.
is() {
	[ "$1" = "$2" ] || {
		printf 'is:       %s\nexpected: %s\n' "$1" "$2"
		return 1
	}
}

# code_of COMMAND...: its exit code, printed.
code_of() {
	local code=0
	"$@" >/dev/null 2>&1 || code=$?
	echo "$code"
}

# wait_for SECONDS COMMAND...: until the command is true; false when the time is over.
wait_for() {
	local deadline=$((SECONDS + $1))
	shift
	until "$@" >/dev/null 2>&1; do
		[ "$SECONDS" -lt "$deadline" ] || {
			printf 'no end of waiting for: %s\n' "$*"
			return 1
		}
		sleep 0.05
	done
}

# need SECONDS COMMAND...: waits for something without which the rest makes no sense.
need() {
	wait_for "$@" && return
	tap_result "not ok" "set-up: $*"
	exit 1
}

# seed: a number for whatever is random in this test, printed, and taken back by SEED=.
seed() {
	SEED=${SEED:-$((RANDOM * 32768 + RANDOM))}
	export SEED
	tap_note "SEED=$SEED"
}

# The kernel log since the test began.
kernel_log() {
	dmesg | sed "1,/selftest begins: $test\$/d"
}

# kernel_log_is_clean: no WARN, BUG, lockdep, RCU or allocation report since the test began.
kernel_log_is_clean() {
	kernel_log >"$work/dmesg"
	PYTHONPATH=$top/scripts python3 - "$work/dmesg" <<-'END'
		import sys
		from tcpfo import klog
		reports = klog.reports(sys.argv[1])
		print("\n".join(reports))
		sys.exit(bool(reports))
	END
}

load_module() {
	[ -e "$module" ] || skip "no module at $module"
	need 30 unload_module
	need 10 insmod "$module"
}

module_is_loaded() {
	[ -d /sys/module/tcp_failover ]
}

unload_module() {
	! module_is_loaded || rmmod tcp_failover
}

# What else a failure leaves behind, besides $work itself; topology.sh adds to it.
keep_hooks=()
# What to undo at the end, last first.
cleanup_hooks=(remove_module)

remove_module() {
	wait_for 30 unload_module
}

keep() {
	local hook
	rm -rf "$out"
	mkdir -p "$out"
	dmesg >"$out/dmesg"
	for hook in ${keep_hooks[@]+"${keep_hooks[@]}"}; do
		"$hook" "$out" || true
	done
	# Not what anyone can make again: the files that were served.
	cp -r "$work"/* "$out/" 2>/dev/null || true
	rm -rf "$out"/www "$out"/*/store
	tap_note "captures, kernel log and counters are in $out"
}

cleanup() {
	local code=$? i
	trap - EXIT
	if [ -z "$finished" ]; then
		tap_result "not ok" "came to an end before its end (exit code $code)"
		tap_end || true
		code=1
	fi
	if [ "$tap_failed" -gt 0 ]; then
		keep
	fi
	for ((i = ${#cleanup_hooks[@]} - 1; i >= 0; i--)); do
		"${cleanup_hooks[i]}" || { tap_note "${cleanup_hooks[i]} failed"; code=1; }
	done
	rm -rf "$work"
	exit "$code"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

# finish: the last line of a test.
finish() {
	check "the kernel log is clean" kernel_log_is_clean
	finished=yes
	local code=0
	tap_end || code=1
	exit "$code"
}

printf '<5>selftest begins: %s\n' "$test" >/dev/kmsg
