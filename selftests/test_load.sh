#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The module comes and goes at any moment: loaded and unloaded in a row, and removed from under
# busy, protected connections, which then have to end well as ordinary ones.
#
# Fails on anything in the kernel log, on a byte lost or held back for ever (an acknowledgement or a
# SYN-ACK that waited for the backup has to be let go), or when the module cannot be removed.

. "$(dirname "$0")/lib.sh"
. "$here/topology.sh"
. "$here/node.sh"
. "$here/client.sh"

rounds=${ROUNDS:-20}
size=$((24 << 20))

reload() {
	local i
	for ((i = 0; i < rounds; i++)); do
		insmod "$module" || return
		rmmod tcp_failover || return
	done
}

nothing_is_left() {
	[ ! -e /sys/kernel/tcp_failover ] && ! grep -q tcp_failover /proc/modules
}

unload_module
check "it is loaded and unloaded $rounds times" reload
check "nothing of it is left" nothing_is_left

random_file file "$size"
cluster_up
capture_start
download_start file --limit-rate 4M
need 60 has_bytes "$work/file" $((size / 4))
check "it is removed from under a download" wait_for 20 unload_module
check "the download still ran" curl_runs
curl_wait
capture_stop
check "nothing of it is left" nothing_is_left
check "curl ends well" is "$curl_code" 0
check "every byte is right" cmp "$www/file" "$work/file"
check "the client saw nothing of it" wire_is_clean --takeovers 0
topology_down

cluster_up
capture_start
upload_start file --limit-rate 4M
need 60 stored a $((size / 4))
check "it is removed from under an upload" wait_for 20 unload_module
check "the upload still ran" curl_runs
curl_wait
capture_stop
check "curl ends well" is "$curl_code" 0
check "every byte is right" cmp "$www/file" "$work/nginx-a/store/file"
check "the client saw nothing of it" wire_is_clean --takeovers 0
finish
