#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# A download and an upload at once survive the death of their server whatever the stacks hand to each
# other instead of single segments: aggregates up to 64 KiB (TSO, GSO and GRO, the default), none, and
# aggregates of up to 200000 bytes (BIG TCP), whose headers cannot say how long they are.
#
# Fails if one byte is wrong, a transfer breaks, or the capture does not show the aggregates that a round
# is about, of the node that dies, of the new one and of the client.

. "$(dirname "$0")/lib.sh"
. "$here/topology.sh"
. "$here/node.sh"
. "$here/client.sh"
. "$here/peers.sh"

size=$((32 << 20))
# Each takes ten seconds: both begin before either ends.
rate=3M
big=200000
# What a frame may be at most: one segment, or what a header can say.
single=1514
ordinary=65550

# without NODE: no aggregates.
without() {
	on "$1" ethtool -K eth0 tso off gso off gro off >/dev/null
}

# big_tcp NODE: larger ones, through all devices between it and the others.
big_tcp() {
	local sizes=(gso_max_size "$big" gro_max_size "$big" gso_ipv4_max_size "$big" gro_ipv4_max_size
		"$big")
	ip -n "$1" link set eth0 "${sizes[@]}"
	ip -n switch link set "${1}0" "${sizes[@]}"
}

# frames_from MAC LENGTH: how many of its frames are longer.
frames_from() {
	tcpdump -nr "$capture" "ether src $1 and greater $(($2 + 1))" 2>/dev/null | wc -l
}

# longer_frames LENGTH: all of them have sent some.
longer_frames() {
	local name
	for name in "${node_mac[a]}" "${node_mac[b]}" "$client_mac"; do
		echo "$name: $(frames_from "$name" "$1") longer than $1"
		[ "$(frames_from "$name" "$1")" -gt 0 ] || return
	done
}

no_longer_frames() {
	local name
	for name in "${node_mac[a]}" "${node_mac[b]}" "$client_mac"; do
		is "$(frames_from "$name" "$1")" 0 || return
	done
}

both_run() {
	peer_runs download && peer_runs upload
}

# round NAME SETTING CHECK...: SETTING is called with each host; CHECK looks at the capture.
round() {
	local name=$1 setting=$2 host transfer
	cluster_up
	for host in client a b; do
		"$setting" "$host"
	done
	rm -f "$work/file"
	capture=$work/$name.pcap
	capture_start
	transfer=(curl --silent --show-error --fail --max-time "$max_time" --limit-rate "$rate")
	peer_start download "${transfer[@]}" --output "$work/file" "$url/file"
	peer_start upload "${transfer[@]}" --upload-file "$www/file" "$url/store/file"
	need 60 has_bytes "$work/file" $((size / 10))
	need 60 stored a $((size / 10))
	kill_node a
	check "$name: the node died within both transfers" both_run
	check "$name: the download ends well" peer_ends_well download
	check "$name: every byte is right" cmp "$www/file" "$work/file"
	check "$name: the upload ends well" peer_ends_well upload
	check "$name: every byte was stored" cmp "$www/file" "$work/nginx-b/store/file"
	check "$name: both were restored" reads b stats/connections_restored 2
	check "$name: none failed" reads b stats/connections_failed 0
	capture_stop
	check "$name: that is how long frames were" "${@:3}"
	check "$name: the client saw nothing of it" wire_is_clean
	tell_wire
}

random_file file "$size"
round "TSO, GSO, GRO" : longer_frames "$single"
round "no aggregates" without no_longer_frames "$single"
round "BIG TCP" big_tcp longer_frames "$ordinary"
finish
