# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# Debian 13 roots: make one, install packages in it. Sourced by root.sh and guest.sh. Names no
# mirror: a Debian host tells its own, anything else gets debootstrap's default.

# debian_packages FILE: the names in a package list, without comments.
debian_packages() {
	grep -Ev '^(#|$)' "$1"
}

# The archive this host itself uses; nothing on a host that is not Debian.
debian_site() {
	# shellcheck disable=SC2016 # apt-get fills this in
	apt-get indextargets --format '$(SITE)' 'Created-By: Packages' 'Origin: Debian' \
		'Label: Debian' 2>/dev/null | head -n 1
}

# debian_bootstrap DIR [DEBOOTSTRAP OPTION...]
debian_bootstrap() {
	local root=$1 site keyring=/usr/share/keyrings/debian-archive-keyring.gpg
	shift
	site=$(debian_site)
	say "debootstrap: Debian 13 into ${root##*/}"
	local options=(--variant=minbase "$@")
	[ ! -e "$keyring" ] || options+=("--keyring=$keyring")
	if ! debootstrap "${options[@]}" trixie "$root" ${site:+"$site"} >"$root.log" 2>&1; then
		die "debootstrap failed: $(grep '^E:' "$root.log" | tail -n 1) (is there a network?)"
	fi
	rm -f "$root.log"
	# A power cut only costs a rebuild: no fsync; and nobody reads manuals in there.
	printf 'force-unsafe-io\n' >"$root/etc/dpkg/dpkg.cfg.d/tcpfo"
	printf 'path-exclude=/usr/share/%s/*\n' man doc locale info >>"$root/etc/dpkg/dpkg.cfg.d/tcpfo"
	printf 'APT::Install-Recommends "false";\nAcquire::Languages "none";\n' \
		>"$root/etc/apt/apt.conf.d/10tcpfo"
	# What the host's administrator set about fetching (proxy, retries, checks) holds here too.
	apt-config dump 2>/dev/null |
		grep -E '^Acquire::(Check-|http|Retries|ForceIPv4)' \
			>"$root/etc/apt/apt.conf.d/20host" || true
	printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d"
	chmod 755 "$root/usr/sbin/policy-rc.d"
	site=$(awk '$1 == "deb" { print $2; exit }' "$root/etc/apt/sources.list")
	[ -n "$site" ] || die "cannot tell which archive debootstrap used"
	printf 'deb %s %s main\n' "$site" trixie "$site" trixie-updates "$site" trixie-backports \
		>"$root/etc/apt/sources.list"
	debian_apt "$root" update
}

# The mounts that package scripts and builds want; they vanish with the mount namespace.
debian_mount() {
	mount -t proc proc "$1/proc"
	mount -t sysfs -o ro sysfs "$1/sys"
	mount --rbind --make-rslave /dev "$1/dev"
}

# debian_apt DIR ARGUMENT...: quiet apt-get, its words shown only when it failed.
debian_apt() {
	local root=$1 log
	shift
	log=$root/var/log/tcpfo-apt.log
	if ! chroot "$root" /usr/bin/env DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8 \
		apt-get -q -y "$@" >"$log" 2>&1 </dev/null; then
		die "apt-get $1 failed in the sandbox: $(grep '^E:' "$log" | head -n 1)"
	fi
}

# debian_install DIR PACKAGE...
debian_install() {
	local root=$1
	shift
	debian_apt "$root" install "$@"
}
