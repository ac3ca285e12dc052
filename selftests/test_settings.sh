#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Nodes that are set up differently say so, both of them, with both values: policies, times, limits, and
# roles that contradict each other. And nothing is changed because of it.
#
# Fails if a difference is silent, is told more than once, or does not go away.

. "$(dirname "$0")/lib.sh"
. "$here/topology.sh"
. "$here/node.sh"

# differ NUMBER: both nodes say that they do, in so many settings.
differ() {
	reads a services/web/peer_differs "$1" && reads b services/web/peer_differs "$1"
}

# told NAME HERE THERE: so many lines of each node's log say it.
told() {
	is "$(kernel_log | grep -cF "web: $1 is $2 here and $3 at the peer")" 1 &&
		is "$(kernel_log | grep -cF "web: $1 is $3 here and $2 at the peer")" 1
}

# difference NAME FILE VALUE: on node a, there and back.
difference() {
	local name=$1 file=$2 value=$3 before
	before=$(get b "$file")
	put a "$file" "$value"
	check "$name: both nodes see it" wait_for 5 differ 1
	check "$name: both say it once, with both values" told "$name" "$value" "$before"
	check "$name: nothing has changed" reads b "$file" "$before"
	put a "$file" "$before"
	check "$name: alike again" wait_for 5 differ 0
}

cluster_up
check "two nodes that are set up alike do not differ" wait_for 5 differ 0
check "none is counted" reads a stats/settings_differ 0
difference safe_points services/web/safe_points request
difference on_peer_loss services/web/on_peer_loss stall
difference hold_timeout_ms services/web/hold_timeout_ms 4711
difference commit_timeout_ms services/web/commit_timeout_ms 4712
difference max_connections limits/max_connections 4713
difference max_log_bytes limits/max_log_bytes 471400
difference max_log_bytes_per_connection limits/max_log_bytes_per_connection 471500
check "each is counted once" reads b stats/settings_differ 7

put b services/web/role off
put b services/web/role primary
check "two nodes of one role say so" wait_for 5 differ 1
check "node a speaks on" reads a services/web/state active
check "node b stands by" wait_for 5 reads b services/web/state standby
finish
