#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# What the guests boot from. Run by scripts/sandbox.sh in a mount namespace of its own:
#
#   guest.sh tree DIR        a minimal, unmodified Debian 13 with server and client programs
#   guest.sh image DIR ROOT  from that tree and the stock kernel of sandbox root ROOT:
#                            root.erofs, initramfs.cpio, vmlinux
#
# The guests' own init and agent are not in here: they come from the checkout at boot, so that a
# change to them needs no new image.

set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../lib.sh"
. "$here/debian.sh"

# Modules that are needed before the root file system is there; the init loads them in this order.
boot_modules=(virtio_pci virtio_blk virtio_console virtio_net virtio_rng 9pnet_virtio 9p erofs
	overlay qemu_fw_cfg)

make_tree() {
	local dir=$1 packages
	debian_bootstrap "$dir/tree"
	debian_mount "$dir/tree"
	mapfile -t packages < <(debian_packages "$here/packages.guest")
	debian_install "$dir/tree" "${packages[@]}"
	chroot "$dir/tree" apt-get clean
	rm -rf "$dir"/tree/var/lib/apt/lists/*
	mkdir -p "$dir/tree/src" "$dir/tree/out"
}

make_image() {
	local dir=$1 root=$2 modules mount
	# shellcheck disable=SC1091
	. "$root/kernel.env"
	modules=$dir/tree/usr/lib/modules/$KERNEL_RELEASE
	mkdir -p "$modules"
	cp -a "$root"/kernel/modules/. "$modules/"
	# Emulated processors are slow at xz: what the tests load lies there unpacked.
	find "$modules"/kernel/{net,lib,fs,crypto,drivers/{net,virtio,block,char}} \
		-maxdepth 3 -name '*.ko.xz' -print0 | xargs -0 -P 2 -n 64 xz -d
	mount=$root/mnt/guest
	mkdir -p "$mount"
	mount --bind "$dir" "$mount"
	chroot "$root" depmod -b /mnt/guest/tree/usr "$KERNEL_RELEASE" 2>/dev/null ||
		chroot "$root" depmod -b /mnt/guest/tree "$KERNEL_RELEASE"
	make_initramfs "$dir" "$root" "$KERNEL_RELEASE"
	say "guest: packing the root file system"
	chroot "$root" mkfs.erofs --quiet -T 0 /mnt/guest/root.erofs /mnt/guest/tree >/dev/null
	umount "$mount"
	# The same kernel, unpacked: an emulated processor takes two seconds for that at each boot.
	chroot "$root" /kdir/scripts/extract-vmlinux /kernel/vmlinuz >"$dir/vmlinux" 2>/dev/null ||
		die "cannot unpack the kernel image"
	rm -rf "$dir/tree"
}

# Busybox and the modules; the init is appended at boot (the kernel unpacks archives in a row).
make_initramfs() {
	local dir=$1 root=$2 release=$3 tree
	tree=$dir/initramfs
	mkdir -p "$tree"/{bin,dev,proc,sys,ro,rw,root,modules}
	cp "$root/usr/bin/busybox" "$tree/bin/busybox"
	chroot "$root" modprobe -d /mnt/guest/tree -S "$release" -a --show-depends \
		"${boot_modules[@]}" | awk '$1 == "insmod" && !seen[$2]++ { print $2 }' |
		while read -r module; do
			cp "$root$module" "$tree/modules/"
			printf '%s\n' "${module##*/}" >>"$tree/modules/order"
		done
	(cd "$tree" && find . -print0 | chroot "$root" cpio --quiet -0 -o -H newc \
		-D /mnt/guest/initramfs >"$dir/initramfs.cpio")
	rm -rf "$tree"
}

case ${1:-} in
tree) make_tree "$2" ;;
image) make_image "$2" "$3" ;;
*) die "usage: $0 tree DIR | image DIR ROOT" ;;
esac
