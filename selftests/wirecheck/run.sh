#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# run.sh: wirecheck's own tests, as TAP. Runs in the sandbox. SEED= repeats the random ones.

set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../tap.sh"

export SEED=${SEED:-$((RANDOM * 32768 + RANDOM))}
tap_note "SEED=$SEED"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
rustc --edition 2021 --test -o "$work/tests" "$here/main.rs"
tap_from_rust "$work/tests"
