#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The control run: without the module the client notices. Everything else is as in
# test_download.sh and test_upload.sh, and the address even moves at once, as a good failover of
# today does it.
#
# This is the negative of all the others: if a transfer survives here, or wirecheck finds nothing,
# they prove nothing.

. "$(dirname "$0")/lib.sh"
. "$here/topology.sh"
. "$here/node.sh"
. "$here/client.sh"

size=$((32 << 20))

# A client that waits for nothing gives up after a while.
patience=(--limit-rate 8M --speed-limit 1 --speed-time 8)

move_address() {
	kill_node a
	ip -n b addr add "$service_address/32" dev eth0
	on b arping -q -c 2 -U -I eth0 "$service_address" || true
}

unload_module
random_file file "$size"
topology_up
keep_hooks+=(keep_counters)
nginx_up a
nginx_up b
ip -n a addr add "$service_address/32" dev eth0
download_start file "${patience[@]}"
need 60 has_bytes "$work/file" $((size / 4))
move_address
curl_wait
check "a download ends with an error" test "$curl_code" -ne 0
check "the client does not get its file" fails is "$(size_of "$work/file")" "$size"

topology_up
nginx_up a
nginx_up b
ip -n a addr add "$service_address/32" dev eth0
capture_start
upload_start file "${patience[@]}"
need 60 stored a $((size / 4))
move_address
curl_wait
capture_stop
check "an upload ends with an error" test "$curl_code" -ne 0
check "no node stores it" fails cmp "$www/file" "$work/nginx-b/store/file"
check "wirecheck finds the reset" wire_shows_a_reset --takeovers 1
tell_wire
finish
