#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# run.sh NAME COMMAND...: boots User-Mode Linux, runs a bash command line in it, passes its output on
# and returns its exit code, or 1 when the kernel does not power off by itself. Runs in the sandbox.
# The root file system is that of the QEMU guests; the module, built for this kernel, is
# /job/module/tcp_failover.ko. The kernel's log is kept as /out/NAME.uml.
#
# What it has over a guest of the stock kernel: lockdep, and no emulation. What counts is still the
# stock kernel.

set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
top=$(cd "$here/../.." && pwd)
# shellcheck disable=SC1091
. /kernel.env

name=$1
shift
out=${TCPFO_OUT:-/out}
timeout=${TCPFO_TIMEOUT:-600}

uml=$(nice "$here/build.sh")
job=$(mktemp -d)
trap 'rm -rf "$job"' EXIT

# Not position independent: the module is linked at a fixed address, as all of this kernel is.
flags='-Crelocation-model=static -Ccode-model=large'
if ! make -s -C "$uml" ARCH=um M="$top" MO="$job/module" CC="$KERNEL_CC" \
	RUSTFLAGS_MODULE="$flags" modules >"$job/build.log" 2>&1 </dev/null; then
	tail -n 30 "$job/build.log" >&2
	echo "error: the module could not be built for User-Mode Linux" >&2
	exit 1
fi

printf '%s\n' "$*" >"$job/run"
off=0
timeout --kill-after=5 "$timeout" "$uml/linux" mem="${TCPFO_MEMORY:-768M}" seccomp=on ncpus=2 \
	ubd0r=/guest/root.erofs root=/dev/root rootfstype=hostfs rw init="$here/init" JOB="$job" \
	<"/dev/null" >"$out/$name.uml" 2>&1 || off=$?
cat "$job/output" 2>/dev/null || true
code=$(cat "$job/code" 2>/dev/null || echo 1)
# The command may have ended well before that.
if [ "$off" -ne 0 ]; then
	echo "error: the kernel did not power off ($off)" >&2
	[ "$code" -ne 0 ] || code=1
fi
exit "$code"
