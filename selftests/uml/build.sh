#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# build.sh: makes the User-Mode Linux kernel of the quick lanes, from the sandbox's kernel tree, with
# lockdep and the other things in config that find mistakes. Runs in the sandbox; prints the
# folder, which holds `linux` and against which modules can be built. About ten minutes the first
# time; afterwards it is there.

set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
kdir=${KDIR:-/kdir}
# shellcheck disable=SC1091
. /kernel.env

key=$(cat "$here/config" /kernel.env | sha256sum | cut -c1-12)
base=/var/cache/tcp_failover/uml-$key
build=$base/build
[ ! -e "$base/done" ] || {
	printf '%s\n' "$build"
	exit
}
mkdir -p "$base"
exec 9>"$base/lock"
flock 9
[ -e "$base/done" ] || {
	# kbuild wants a source tree in which nothing was built. Links to the same files are enough: what
	# mrproper removes here stays there.
	rm -rf "$base/source" "$build"
	mkdir -p "$build"
	cp -al "$kdir" "$base/source"
	{
		make -C "$base/source" -s ARCH=um mrproper
		make -C "$base/source" -s ARCH=um O="$build" CC="$KERNEL_CC" \
			KCONFIG_ALLCONFIG="$here/config" allnoconfig
		make -C "$base/source" -s ARCH=um O="$build" CC="$KERNEL_CC" -j"$(nproc)"
	} >"$base/log" 2>&1 </dev/null || {
		tail -n 20 "$base/log" >&2
		echo "error: the User-Mode Linux kernel could not be built, see $base/log" >&2
		exit 1
	}
	# An option that this kernel does not know any more must not vanish in silence.
	if grep -E '^CONFIG_' "$here/config" | grep -vxFf "$build/.config" >&2; then
		echo "error: these options were not taken" >&2
		exit 1
	fi
	touch "$base/done"
}
printf '%s\n' "$build"
