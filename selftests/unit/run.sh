#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# run.sh: the host's tests of the module's core, as TAP. Runs in the sandbox.
#
# The core is compiled by the rustc that compiles the module, with the kernel tree's own zerocopy
# and with the same overflow checks. kernel.rs stands in for the `kernel` crate. proptest is Debian's, built once.
#
# SEED= repeats the random input of a run, CASES= sets how much of it there is.

set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../tap.sh"

kdir=${KDIR:-/kdir}
cache=/var/cache/tcp_failover/unit
export SEED=${SEED:-$((RANDOM * 32768 + RANDOM))}
tap_note "SEED=$SEED${CASES:+ CASES=$CASES}"

# proptest: everything it needs lies in Debian's own registry of sources.
if ! [ -e "$cache/proptest/done" ]; then
	mkdir -p "$cache"
	cp -r "$here/proptest" "$cache/"
	(cd "$cache/proptest" && cargo build --quiet --release --offline \
		--config 'source.crates-io.replace-with="debian"' \
		--config 'source.debian.directory="/usr/share/cargo/registry"') >&2
	touch "$cache/proptest/done"
fi
deps=$cache/proptest/target/release/deps

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
(cd "$kdir" && CARGO_PKG_VERSION=0.8 rustc --edition 2021 --crate-type rlib --crate-name zerocopy \
	--cfg no_fp_fmt_parse --cap-lints allow --out-dir "$work" rust/zerocopy/src/lib.rs)
rustc --edition 2021 --crate-type rlib --crate-name kernel --out-dir "$work" "$here/kernel.rs"
rustc --edition 2021 --test -C overflow-checks=on -C debug-assertions=on -C opt-level=1 \
	-A unexpected_cfgs \
	--extern "kernel=$work/libkernel.rlib" \
	--extern "zerocopy=$work/libzerocopy.rlib" \
	--extern "zerocopy_derive=$kdir/rust/libzerocopy_derive.so" \
	--extern "proptest=$(echo "$deps"/libproptest-*.rlib)" -L "dependency=$deps" \
	-o "$work/unit" "$here/main.rs"
tap_from_rust "$work/unit"
