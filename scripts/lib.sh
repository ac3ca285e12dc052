# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
#
# What the host-side scripts share: messages, and where the checkout and the sandbox are.
# Sourced, never run. Does nothing by itself.

# The checkout this file belongs to.
tcpfo_top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

say() {
	printf '%s\n' "$*" >&2
}

die() {
	printf 'error: %s\n' "$*" >&2
	exit 1
}

need_root() {
	[ "$(id -u)" -eq 0 ] || die "this needs root (chroot, mounts)"
}

# Where all sandboxes live; never inside the checkout.
sandbox_base() {
	printf '%s\n' "${TCPFO_SANDBOX:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/tcp_failover}"
}

# sandbox_key FILE...: a name made from what the thing is made from (comments do not count).
sandbox_key() {
	{ grep -hv '^[[:space:]]*#' -- "$@" && printf '%s\n' "KVER=${KVER:-}"; } |
		sha256sum | cut -c1-12
}

# The folder of the sandbox root (Debian 13, tools, /kdir).
sandbox_root() {
	printf '%s/root-%s\n' "$(sandbox_base)" "$(sandbox_key \
		"$tcpfo_top"/scripts/sandbox/{root,debian,kernel}.sh \
		"$tcpfo_top"/scripts/sandbox/packages.{build,tools,backports})"
}

# The folder of the guests' images; they follow from the sandbox root and their own recipe.
guest_dir() {
	printf '%s/guest-%s\n' "$(sandbox_base)" "$(sandbox_key \
		"$tcpfo_top"/scripts/sandbox/{root,debian,kernel,guest}.sh \
		"$tcpfo_top"/scripts/sandbox/packages.*)"
}

# Where captures, serial logs, counters and pictures of a run go.
artefact_dir() {
	printf '%s\n' "${TCPFO_OUT:-$tcpfo_top/build/out}"
}

# The last commit that changes what becomes part of the module; -dirty if that has changed since.
module_commit() {
	local commit
	commit=$(git -C "$tcpfo_top" log -1 --format=%h -- rust Kbuild) || commit=unknown
	[ -z "$(git -C "$tcpfo_top" status --porcelain -- rust Kbuild 2>/dev/null)" ] || commit+=-dirty
	printf '%s\n' "$commit"
}

# confined COMMAND...: runs a command in mount and process namespaces of its own; returns its exit
# status. Nothing of it is left when this script ends, however it ends. (unshare itself ignores all
# but SIGKILL while it waits, hence the detour.)
confined() {
	local code=0
	setpriv --pdeathsig KILL unshare --mount --pid --fork --kill-child --propagation private \
		"$@" <&0 &
	confined_pid=$!
	trap 'kill -KILL "$confined_pid"; exit 130' INT TERM HUP
	wait "$confined_pid" || code=$?
	trap - INT TERM HUP
	return "$code"
}
