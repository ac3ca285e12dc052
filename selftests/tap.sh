# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# TAP, the way kselftests write it: results numbered from 1, the plan at the end or the beginning.
# Sourced, never run.

tap_count=0
tap_failed=0

# tap_note TEXT...: a remark.
tap_note() {
	printf '# %s\n' "$*"
}

# tap_result ok|not ok NAME [REMARK]
tap_result() {
	tap_count=$((tap_count + 1))
	[ "$1" = ok ] || tap_failed=$((tap_failed + 1))
	printf '%s %d - %s%s\n' "$1" "$tap_count" "$2" "${3:+ # $3}"
}

# tap_end: the plan; fails if a test failed, or if there was none.
tap_end() {
	printf '1..%d\n' "$tap_count"
	[ "$tap_failed" -eq 0 ] && [ "$tap_count" -gt 0 ]
}

# tap_from_rust PROGRAM: runs a program made by rustc --test, one result for each of its tests.
tap_from_rust() {
	local log line code=0
	log=$(mktemp)
	RUST_BACKTRACE=0 "$1" >"$log" 2>&1 || code=$?
	while IFS= read -r line; do
		case $line in
		"test "*" ... ok") line=${line#test } && tap_result ok "${line% ... ok}" ;;
		"test "*" ... FAILED") line=${line#test } && tap_result "not ok" "${line% ... FAILED}" ;;
		"test "*" ... ignored"*) line=${line#test } && tap_result ok "${line% ... *}" SKIP ;;
		esac
	done <"$log"
	# What the harness itself says of it counts as well: a crash has no line of its own.
	if [ "$code" -ne 0 ]; then
		sed '1,/^failures:/d; s/^/# /' "$log"
		[ "$tap_failed" -gt 0 ] || tap_result "not ok" "the tests came to an end (exit $code)"
	fi
	rm -f "$log"
	tap_end
}
