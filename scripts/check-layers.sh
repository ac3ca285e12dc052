#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# check-layers.sh: the layers of rust/, as far as a search can tell. Prints each line that is in the
# wrong one and exits 1.
#
#   rust/bindings  generated code, known to rust/kapi only
#   rust/kapi      safe wrappers: the only place that names the bindings or writes `unsafe`
#   rust/wire      } need nothing of the kernel but its prelude, and nothing of the rest: they are
#   rust/flow      } also compiled on the host
#
# Comments do not count, and neither do the attributes that forbid unsafe code or make KUnit tests.
# Does not parse Rust.

set -euo pipefail
cd "$(dirname "$0")/.."

wrong=0

# search WHAT REGEX FILE...: complains about each match in code, comments taken away.
search() {
	local what=$1 regex=$2 found
	shift 2
	[ $# -gt 0 ] || return 0
	found=$(awk -v regex="$regex" '{ code = $0; sub(/\/\/.*/, "", code) }
		code ~ regex && code !~ /(forbid|deny)\(unsafe_code\)|cfg_attr\(CONFIG_KUNIT,/ {
			sub(/^[ \t]*/, ""); print FILENAME ":" FNR ": " $0
		}' "$@")
	[ -n "$found" ] || return 0
	printf '%s:\n%s\n' "$what" "$found"
	wrong=1
}

# files DIR...: the Rust files below.
files() {
	find "$@" -name '*.rs' ! -name '*generated*' | sort
}

mapfile -t outside < <(files rust | grep -Ev '^rust/(kapi|bindings)/')
mapfile -t core < <(files rust/wire rust/flow)
search 'unsafe outside rust/kapi and rust/bindings' '(^|[^a-z_])unsafe([^a-z_]|$)' \
	"${outside[@]}"
search 'bindings named outside rust/kapi' '(crate|kernel|super)::bindings|[^a-z_]bindings::' \
	"${outside[@]}"
search 'the core names the kernel or other parts' \
	'(^|[^a-z_])kernel::[^p]|kernel::p[^r]|crate::(kapi|node|service|channel|primary|backup|takeover|control)' \
	"${core[@]}"
exit "$wrong"
