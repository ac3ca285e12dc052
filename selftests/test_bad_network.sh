#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# A download and an upload at once survive the death of their server although the client's network
# loses, delays, duplicates and reorders packets: with aggregates (GSO, GRO) and without; with old
# duplicates that arrive after the splice; and with a smaller MTU at the new node than the one that
# the client was told of.
#
# The capture is taken in the switch, between the nodes and the bad network: it shows what the nodes
# sent in the order in which they sent it, and what of the client reached them. So nothing has to be
# forgiven: wirecheck is as strict as elsewhere.
#
# Fails if one byte is wrong, a transfer ends before its end, or a node takes anything back. And fails
# if the network was not as bad as it is meant to be. SEED= repeats what the network does to the
# packets, as far as they come in the same order.

. "$(dirname "$0")/lib.sh"
. "$here/topology.sh"
. "$here/node.sh"
. "$here/client.sh"

size=$((6 << 20))
small_mtu=1400
ethernet_header=14
# Of the network's own MTU.
if [ "$family" = 6 ]; then
	mss=1440
else
	mss=1460
fi

# network_is_bad: in both directions of the client.
network_is_bad() {
	local netem=(netem limit 10000 delay 8ms 3ms 25% loss 5% duplicate 2% reorder 5% seed)
	tc -n client qdisc replace dev eth0 root "${netem[@]}" "$SEED"
	tc -n switch qdisc replace dev client0 root "${netem[@]}" $((SEED + 1))
}

network_is_good() {
	tc -n client qdisc del dev eth0 root
	tc -n switch qdisc del dev client0 root
}

# lost NAMESPACE DEVICE: how many packets the network has lost there.
lost() {
	tc -n "$1" -s qdisc show dev "$2" | sed -n 's/.*(dropped \([0-9]*\),.*/\1/p' | head -n 1
}

# loses NAMESPACE DEVICE: it has lost some.
loses() {
	local count
	count=$(lost "$1" "$2")
	echo "lost on $2: $count packets"
	[ "$count" -ge 10 ]
}

# one_by_one: no aggregates, and whole checksums, as a copy of a packet needs them.
one_by_one() {
	local name
	for name in client a b; do
		on "$name" ethtool -K eth0 tso off gso off gro off tx off >/dev/null
	done
}

# transfer NAME CURL OPTION...: in the background; the process goes to transfer_pid.
transfer() {
	nsenter --net=/run/netns/client curl --silent --show-error --fail --max-time "$max_time" \
		--write-out '%{http_code} in %{time_total} s\n' "${@:2}" >"$work/$1.log" 2>&1 &
	transfer_pid=$!
}

# transfer_wait NAME PID: whether it ended well.
transfer_wait() {
	local code=0
	wait "$2" || code=$?
	tail -n 1 "$work/$1.log"
	return "$code"
}

both_are_under_way() {
	has_bytes "$work/file" $((size / 3)) && stored a $((size / 3))
}

both_run() {
	kill -0 "$download" && kill -0 "$upload"
}

# survive WHAT: both transfers, and one takeover.
survive() {
	local what=$1
	rm -f "$work/file"
	# The client's IP address is known to all before its network begins to lose packets.
	on client ping -q -c 1 -W 5 "$service_address" >/dev/null
	on b ping -q -c 1 -W 5 -I "${node_address[b]}" "$client_address" >/dev/null
	network_is_bad
	capture=$work/$what.pcap
	switch_capture_start
	transfer download --output "$work/file" --limit-rate 1M "$url/file"
	download=$transfer_pid
	transfer upload --upload-file "$www/file" --limit-rate 1M "$url/store/file"
	upload=$transfer_pid
	need 60 both_are_under_way
	kill_node a
	check "$what: the node died within both transfers" both_run
	need 30 reads b stats/connections_restored 2
	after_splice
	check "$what: the download ends well" transfer_wait download "$download"
	tap_note "download: $(tail -n 1 "$work/download.log"), upload: $(tail -n 1 "$work/upload.log")"
	check "$what: the upload ends well" transfer_wait upload "$upload"
	check "$what: every byte of the download is right" cmp "$www/file" "$work/file"
	check "$what: every byte of the upload is right" cmp "$www/file" "$work/nginx-b/store/file"
	check "$what: none failed" reads b stats/connections_failed 0
	check "$what: packets to the service were lost" loses client eth0
	check "$what: packets to the client were lost" loses switch client0
	at_the_end
	network_is_good
	capture_stop
	check "$what: the nodes took nothing back" wire_is_clean
	tell_wire
}

# What a round does on its own.
after_splice() { :; }
at_the_end() { :; }

# old_duplicates: how many were sent to the service and to the client.
old_duplicates() {
	sed -n '$s/[^0-9 ]//gp' "$work/old_duplicates"
}

# more_duplicates TO_SERVICE TO_CLIENT: than those.
more_duplicates() {
	local now
	read -ra now <<<"$(old_duplicates)"
	echo "${now[*]}, before: $*"
	[ "${now[0]:-0}" -gt "${1:-0}" ] && [ "${now[1]:-0}" -gt "${2:-0}" ]
}

# long_frames_from NODE: how many of its frames are longer than the small MTU allows.
long_frames_from() {
	tcpdump -nr "$capture" "ether src ${node_mac[$1]} and tcp and greater \
		$((small_mtu + ethernet_header + 1))" 2>/dev/null | wc -l
}

seed
random_file file "$size"

cluster_up
survive aggregates

cluster_up
one_by_one
SEED=$SEED nsenter --net=/run/netns/switch python3 "$here/programs/old_duplicates.py" --device br0 \
	--address "$service_address" --mac "${node_mac[b]}" --delay 1 3 >"$work/old_duplicates" &
after_splice() {
	read -ra duplicates <<<"$(old_duplicates)"
}
at_the_end() {
	check "old: duplicates came after the splice" more_duplicates "${duplicates[@]}"
}
survive old

cluster_up
one_by_one
# What the client sends fits; what it was told of itself, and tells node b, does not.
ip -n client route change "${network[@]}" mtu "$small_mtu" advmss "$mss"
ip -n b link set eth0 mtu "$small_mtu"
after_splice() { :; }
at_the_end() { :; }
survive mtu
check "mtu: node a's segments were longer than node b's may be" fails is "$(long_frames_from a)" 0
check "mtu: none of node b's is" is "$(long_frames_from b)" 0
finish
