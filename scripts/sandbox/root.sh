#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# root.sh DIR: makes the sandbox root in DIR: a Debian 13 with the tools and, in /kdir, the kernel
# tree to build against. Run by scripts/sandbox.sh in a mount namespace of its own, so that its
# mounts vanish with it however it ends. Knows nothing about keys, locks or the guests.

set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../lib.sh"
. "$here/debian.sh"

root=$1

debian_bootstrap "$root"
debian_mount "$root"
mkdir -p "$root/src" "$root/out" "$root/guest"

say "sandbox: looking for the newest kernel of backports"
install -m 755 "$here/kernel.sh" "$root/usr/local/sbin/tcpfo-kernel"
in_root() {
	chroot "$root" /usr/bin/env -i PATH=/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root \
		LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive KVER="${KVER:-}" "$@"
}
in_root tcpfo-kernel find
# shellcheck disable=SC1091
. "$root/kernel.env"
say "sandbox: kernel $KERNEL_RELEASE ($KERNEL_VERSION), $KERNEL_CC, rustc $KERNEL_RUSTC"

say "sandbox: installing build tools"
mapfile -t build < <(debian_packages "$here/packages.build")
debian_install "$root" "${build[@]}" "$KERNEL_CC_PACKAGE"
in_root tcpfo-kernel check-tools

# The kernel tree keeps the processor busy while the other tools are mostly downloaded.
in_root tcpfo-kernel prepare >"$root/kernel.log" 2>&1 &
prepare=$!
say "sandbox: preparing the kernel tree, installing test tools"
mapfile -t tools < <(debian_packages "$here/packages.tools")
debian_install "$root" "${tools[@]}"
mapfile -t backports < <(debian_packages "$here/packages.backports")
debian_install "$root" -t trixie-backports "${backports[@]}"
if ! wait "$prepare"; then
	tail -n 30 "$root/kernel.log" >&2
	die "the kernel tree could not be prepared"
fi
chroot "$root" apt-get clean
