#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Who speaks when networks and devices fail in part. A standby whose device has no link, or is gone, can
# ask nobody, and does not take over; with a device that was made anew, or is called otherwise, it asks, and
# hears its peer. A node that has gone on alone, and whose peer has taken over while it could not be
# heard, stands down when only the service's network is back. Over IPv6, advertisements that come from
# another link are no answer.
#
# Fails if both nodes speak, or neither does, for longer than it takes to ask.

. "$(dirname "$0")/lib.sh"
. "$here/topology.sh"
. "$here/node.sh"
. "$here/client.sh"

# lives_on: node b, which hears nothing, does not take over, though it has had the time.
lives_on() {
	fails wait_for 4 taken_over && reads a services/web/state active
}

# heard_alive: node b has asked for the address, and somebody has answered.
heard_alive() {
	kernel_log | grep -F "web: the peer is silent but has the address"
}

whole_again() {
	wait_for 30 reads "$1" services/web/protected 1 &&
		wait_for 30 reads "$2" services/web/takeover_ready 1
}

# claims HOPS: another host tells node a again and again that it has the address, with that hop limit.
claims() {
	rm -f "$work/claimed"
	nsenter --net=/run/netns/client python3 - "$service_address" "${node_address[a]}" "$1" \
		"$work/claimed" <<-'END' &
		import socket
		import sys
		import time
		address, node, hops, claimed = sys.argv[1:]
		claim = bytes([136, 0, 0, 0, 0x60, 0, 0, 0]) + socket.inet_pton(socket.AF_INET6, address)
		with socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as raw:
		    raw.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, int(hops))
		    while True:
		        raw.sendto(claim, (node, 0))
		        open(claimed, "w", encoding="ascii").close()
		        time.sleep(0.02)
	END
	claims_pid=$!
	need 20 test -e "$work/claimed"
}

cluster_up

# A device without a link: both networks of the standby fail at once.
cut_service b
cut_channel b
check "without a link node b does not take over" lives_on
mend_service b
mend_channel b
check "with it node b is ready" whole_again a b

# One that is gone.
ip -n switch link del b0
check "without its device node b is not ready" wait_for 10 reads b services/web/takeover_ready 0
cut_channel b
check "it does not take over" lives_on
mend_channel b

# One that was made anew.
add_service_device b "${node_address[b]}" "${node_mac[b]}"
service_address_up b
check "with another device of that name node b is ready" whole_again a b

# One that is called otherwise.
ip -n b link set eth0 name other0
cut_channel b
check "it hears that its peer has the address" wait_for 10 heard_alive
check "it does not take over" lives_on
ip -n b link set other0 name eth0

# Node a goes on alone, and cannot be heard for a moment.
cut_service a
check "node b takes over from a node of which nothing is heard" wait_for 20 taken_over
mend_service a
# It announces the address for two seconds; on a slow host that may be over.
[ "$family" = 6 ] || on b arping -q -c 1 -U -I eth0 "$service_address" || true
check "node a hears of that, and stands down" wait_for 10 reads a services/web/state standby
check "it is counted" reads a stats/stand_downs 1
check "node b speaks on" taken_over
mend_channel b
check "they are a pair again" whole_again b a

if [ "$family" = 6 ]; then
	claims 255
	kill_node b
	check "a claim from the same link is an answer" fails wait_for 4 reads a services/web/state active
	kill "$claims_pid"
	claims 64
	check "one from afar is none" wait_for 10 reads a services/web/state active
	kill "$claims_pid"
fi
finish
