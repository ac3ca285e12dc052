#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Runs inside the sandbox. Finds the stock kernel and makes the tree to build modules against:
#
#   find         picks the kernel, writes its names to /kernel.env, leaves its packages in /kernel
#   check-tools  are the installed compilers those the kernel was built with?
#   prepare      unpacks the source to /kdir and runs modules_prepare
#
# Debian's headers package has no Rust metadata, hence the source; its Module.symvers is used.
# Does not build a kernel.

set -euo pipefail
flavour=amd64

die() {
	printf 'error: %s\n' "$*" >&2
	exit 1
}

# version_of PACKAGE [SUITE]: the newest version on offer.
version_of() {
	apt-cache madison "$1" | awk -F' *[|] *' -v suite="${2:-}" \
		'$3 ~ suite "/" { print $2 }' | sort -rV | head -n 1
}

# Kernel releases of backports, newest first.
releases() {
	apt-cache pkgnames linux-image- |
		sed -nE "s/^linux-image-([0-9.]+[+]deb13-$flavour)\$/\\1/p" | sort -rV
}

# config_value NAME FILE
config_value() {
	sed -n "s/^$1=//p" "$2" | tr -d '"'
}

# with_parts PACKAGE VERSION: it and those it depends on in the very same version. An image package
# may be all there is, or only a name for several (binary, modules, base).
with_parts() {
	printf '%s\n' "$1"
	apt-cache show "$1=$2" | sed -n 's/^Depends: //p' | tr , '\n' |
		sed -nE "s/^ *(\S+) \(= (\S+)\)\$/\1 \2/p" |
		awk -v version="$2" '$2 == version { print $1 }'
}

# unpack DIR VERSION PACKAGE...: downloads packages and unpacks their files into DIR.
unpack() {
	local dir=$1 version=$2 deb
	shift 2
	mkdir -p "$dir.debs"
	(cd "$dir.debs" && apt-get -q download "${@/%/=$version}") >/kernel.log 2>&1 ||
		die "downloading $* failed: $(tail -n 1 /kernel.log)"
	for deb in "$dir.debs"/*.deb; do
		dpkg-deb -x "$deb" "$dir" 2>/kernel.log ||
			die "unpacking ${deb##*/} failed: $(head -n 1 /kernel.log)"
	done
	rm -rf "$dir.debs"
}

# tidy_image RELEASE: /kernel/{config,vmlinuz,modules}, however this release's packages lay them out.
tidy_image() {
	local usr=/kernel/image/usr/lib/modules/$1
	[ -d "$usr" ] || usr=/kernel/image/lib/modules/$1
	mv "$usr" /kernel/modules
	for file in config vmlinuz; do
		if [ -e "/kernel/modules/$file" ]; then
			mv "/kernel/modules/$file" /kernel/
		else
			mv "/kernel/image/boot/$file-$1" "/kernel/$file"
		fi
	done
	rm -rf /kernel/image
}

# try RELEASE: writes kernel.env and returns 0 if everything that belongs to it is to be had.
try() {
	local release=$1 version source config cc rustc
	version=$(version_of "linux-image-$release" trixie-backports)
	[ -n "$version" ] || return 1
	source=linux-source-$(printf '%s\n' "$release" | cut -d. -f1,2)
	for package in "linux-headers-$release" "$source"; do
		if [ "$(version_of "$package" trixie-backports)" != "$version" ]; then
			printf '%s: no %s of version %s\n' "$release" "$package" "$version" >&2
			return 1
		fi
	done
	rm -rf /kernel && mkdir -p /kernel
	# shellcheck disable=SC2046 # package names have no blanks
	unpack /kernel/image "$version" $(with_parts "linux-image-$release" "$version")
	unpack /kernel/headers "$version" "linux-headers-$release"
	tidy_image "$release"
	config=/kernel/config
	grep -q '^CONFIG_RUST=y' "$config" || {
		printf '%s: built without CONFIG_RUST\n' "$release" >&2
		return 1
	}
	# "x86_64-linux-gnu-gcc-14 (Debian 14.2.0-19) 14.2.0" -> gcc-14
	cc=$(config_value CONFIG_CC_VERSION_TEXT "$config" | sed -E 's/^(\S+) .*/\1/')
	rustc=$(config_value CONFIG_RUSTC_VERSION_TEXT "$config" | sed -E 's/^rustc (\S+) .*/\1/')
	[ -n "$(version_of "${cc#x86_64-linux-gnu-}")" ] || {
		printf '%s: no %s in Debian 13\n' "$release" "$cc" >&2
		return 1
	}
	case $(version_of rustc trixie) in
	"$rustc"*) ;;
	*)
		printf '%s: no rustc %s in Debian 13\n' "$release" "$rustc" >&2
		return 1
		;;
	esac
	cat >/kernel.env <<-END
		KERNEL_RELEASE=$release
		KERNEL_VERSION='$version'
		KERNEL_SOURCE=$source
		KERNEL_CC=$cc
		KERNEL_CC_PACKAGE=${cc#x86_64-linux-gnu-}
		KERNEL_RUSTC=$rustc
	END
}

find_kernel() {
	local release
	for release in $(releases); do
		case $release in
		"${KVER:-}"*) ! try "$release" || return 0 ;;
		esac
	done
	die "no kernel ${KVER:-} in backports whose image, headers, source and compilers agree"
}

check_tools() {
	. /kernel.env
	local config=/kernel/config have
	have=$("$KERNEL_CC" --version | head -n 1)
	[ "$have" = "$(config_value CONFIG_CC_VERSION_TEXT "$config")" ] ||
		printf 'note: the kernel was built by %s, here is %s\n' \
			"$(config_value CONFIG_CC_VERSION_TEXT "$config")" "$have" >&2
	have=$(rustc --version)
	[ "$have" = "$(config_value CONFIG_RUSTC_VERSION_TEXT "$config")" ] ||
		die "the kernel wants $KERNEL_RUSTC, here is $have"
}

prepare() {
	. /kernel.env
	local config=/kernel/config
	unpack /kernel/source "$KERNEL_VERSION" "$KERNEL_SOURCE"
	tar -xf /kernel/source/usr/src/"$KERNEL_SOURCE".tar.xz -C /
	rm -rf /kernel/source
	mv "/$KERNEL_SOURCE" /kdir
	cp "$config" /kdir/.config
	# Debian signs in a step of its own and drops this line: left out, it would default to y.
	/kdir/scripts/config --file /kdir/.config --disable MODULE_SIG_ALL
	local localversion=${KERNEL_RELEASE#"$(make -s -C /kdir kernelversion)"}
	make -C /kdir -j"$(nproc)" LOCALVERSION="$localversion" CC="$KERNEL_CC" \
		olddefconfig modules_prepare
	[ "$(cat /kdir/include/config/kernel.release)" = "$KERNEL_RELEASE" ] ||
		die "the tree calls itself $(cat /kdir/include/config/kernel.release)"
	# Options that the tools here would have switched off change the layout of structures.
	if diff <(grep -E '^CONFIG_\S+=[ymn0-9]' "$config" | grep -Ev "$config_may_differ" | sort) \
		<(grep -E '^CONFIG_\S+=[ymn0-9]' /kdir/.config | grep -Ev "$config_may_differ" | sort)
	then
		:
	else
		die "the prepared configuration is not the stock kernel's"
	fi
	cp /kernel/headers/usr/src/linux-headers-"$KERNEL_RELEASE"/Module.symvers /kdir/
}
# Paths and versions of the builder, no code behind them.
config_may_differ='^CONFIG_(BUILD_SALT|.*_VERSION|.*_VERSION_TEXT)='

case ${1:-} in
find) find_kernel ;;
check-tools) check_tools ;;
prepare) prepare ;;
*) die "usage: tcpfo-kernel find|check-tools|prepare" ;;
esac
