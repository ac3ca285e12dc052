#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# A client that is 300 ms away: the new node, which has just regenerated what the client has within
# milliseconds, does not take what is on its way there for lost, and sends it once.
#
# Fails if the new socket goes on with the round-trip time of its fast-forward.

. "$(dirname "$0")/lib.sh"
. "$here/topology.sh"
. "$here/node.sh"
. "$here/client.sh"

size=$((3 << 20))

# had_twice: at most so many segments had something that the client had already, and told its server so.
had_twice() {
	local count
	count=$(stack client TcpExtTCPDSACKOldSent)
	echo "$count segments"
	[ "$count" -le "$1" ]
}

random_file file "$size"
cluster_up
tc -n client qdisc replace dev eth0 root netem limit 10000 delay 150ms
tc -n switch qdisc replace dev client0 root netem limit 10000 delay 150ms
download_over_death file $((size / 3)) --limit-rate 300k
check "one connection was restored" reads b stats/connections_restored 1
# The one at the seam begins with what the client has.
check "nothing else was sent twice" had_twice 1
check "the client saw nothing of it" wire_is_clean
tell_wire
finish
