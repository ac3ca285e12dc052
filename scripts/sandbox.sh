#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# sandbox.sh: makes everything that building and testing need, from a bare Debian 12 or 13 machine:
# a Debian 13 root with tools and a kernel tree (root-KEY), and the guests' root file system and
# stock kernel (guest-KEY). Both lie outside the checkout (TCPFO_SANDBOX), are named after a hash
# of their recipes, and are reused when complete. KVER= picks a kernel.
#
# sandbox.sh --print: only prints the folders, builds nothing.
# Does not build the module and boots nothing.

set -euo pipefail
. "$(dirname "$0")/lib.sh"

recipes=$tcpfo_top/scripts/sandbox
min_free_mib=8192

host_needs() {
	local missing=() tool
	[ "$(uname -m)" = x86_64 ] || die "x86_64 hosts only"
	for tool in debootstrap:debootstrap unshare:util-linux flock:util-linux make:make xz:xz-utils; do
		command -v "${tool%%:*}" >/dev/null || missing+=("${tool#*:}")
	done
	[ -e /usr/share/keyrings/debian-archive-keyring.gpg ] || missing+=(debian-archive-keyring)
	[ "${#missing[@]}" -gt 0 ] || return 0
	command -v apt-get >/dev/null || die "missing on this host: ${missing[*]}"
	say "sandbox: installing on this host: ${missing[*]}"
	{ apt-get -q update && apt-get -q -y install --reinstall --no-install-recommends \
		"${missing[@]}"; } >/dev/null 2>&1 </dev/null ||
		die "cannot install ${missing[*]} on this host (is there a network?)"
}

# recipe NAME ARGUMENT...: runs one with mounts of its own.
recipe() {
	local name=$1
	shift
	unshare --mount --propagation private bash "$recipes/$name" "$@" </dev/null
}

# A folder with its final name is complete by construction: recipes work in NAME.partial, which
# gets its name at the very end; what an interrupted run left is thrown away.
begin() {
	rm -rf --one-file-system "$1.partial"
	mkdir -p "$1.partial"
}

root=$(sandbox_root)
guest=$(guest_dir)
if [ "${1:-}" = --print ]; then
	printf '%s\n' "$root" "$guest"
	exit 0
fi
complete() {
	[ -e "$root" ] && [ -e "$guest" ]
}
! complete || exit 0

# Asks for what is needed, then becomes the builder.
prepare() {
	local base free
	need_root
	base=$(sandbox_base)
	mkdir -p "$base" || die "cannot make $base"
	# One builder at a time: a second one waits and then finds the work done.
	exec 9>"$base/lock"
	flock -n 9 || { say "sandbox: another run is building it, waiting"; flock 9; }
	! complete || exit 0
	host_needs
	free=$(df --output=avail -BM "$base" | tail -n 1 | tr -dc 0-9)
	[ "$free" -ge "$min_free_mib" ] ||
		die "$base: $free MiB free, $min_free_mib wanted"
	say "sandbox: building in $base (about 5 minutes)"
	confined bash "$0" --build
	exit
}
[ "${1:-}" = --build ] || prepare

started=$SECONDS
tree=
if [ ! -e "$guest" ]; then
	begin "$guest"
	recipe guest.sh tree "$guest.partial" 2>"$guest.partial/log" &
	tree=$!
fi
if [ ! -e "$root" ]; then
	begin "$root"
	recipe root.sh "$root.partial"
	mv "$root.partial" "$root"
fi
if [ -n "$tree" ]; then
	wait "$tree" || { tail -n 1 "$guest.partial/log" >&2; exit 1; }
	recipe guest.sh image "$guest.partial" "$root"
	mv "$guest.partial" "$guest"
fi
say "sandbox: ready after $((SECONDS - started)) s"
