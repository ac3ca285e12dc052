#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Whatever a handshake has agreed on, the other node goes on with: window scales and none, with and
# without SACK, timestamps, ECN, small segments, small and large buffers, and timestamps in
# microseconds. A download and an upload for each variant survive, all in one takeover; those in
# microseconds in a second one, as that is a property of the nodes' routes.
#
# Fails if the two nodes' sockets differ in what was agreed on, if a byte is wrong, a connection
# breaks, or a variant is not what its name says (what the client's kernel agreed on is compared
# with that, so a sysctl without effect is noticed).

. "$(dirname "$0")/lib.sh"
. "$here/topology.sh"
. "$here/streams.sh"
. "$here/node.sh"
. "$here/client.sh"

# sockets NODE: what is said of those of the service.
sockets() {
	on "$1" ss -tnieoOH "sport = :$service_port" >"$work/sockets-$1"
}

# takeover OF [OPTION...]: all variants that the options choose.
takeover() {
	local of=$1 count
	shift
	rm -f "$capture"
	capture_start
	streams_start options_client.py "$@"
	count=$(grep -c '^port ' "$work/streams.log" || true)
	check "$of: all connections are protected" reads b services/web/connections "$count"
	sockets a
	kill_node a
	check "$of: all are restored" wait_for 60 restored "$count"
	sockets b
	step end
	streams_wait
	capture_stop

	check "$of: all connections end well" is "$streams_code" 0
	check "$of: what was agreed on is the same" \
		python3 "$streams/compare_sockets.py" "$work/sockets-a" "$work/sockets-b" "$work/streams.log"
	check "$of: none failed" reads b stats/connections_failed 0
	check "$of: no client saw anything of it" wire_is_clean
	tell_wire
}

# microseconds: timestamps of connections to the network tick faster, as its route says.
microseconds() {
	local name
	for name in client a b; do
		ip -n "$name" route change "${network[@]}" features tcp_usec_ts
	done
}

# patient_cluster_up: the server takes its time to accept so many at once.
patient_cluster_up() {
	streams_up "$service_port"
	put b services/web/hold_timeout_ms 60000
}

patient_cluster_up
takeover "variants"
topology_down
patient_cluster_up
microseconds
takeover "microseconds" --usec --only plain,no_sack,no_scale,no_timestamps
finish
