#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# A connection that lives long and is protected again after each failure: with safe points its log
# begins anew with its requests, so that a takeover regenerates no more than the last answer, and a
# node that comes back protects it from its next request on. From a to b, to a, and to b.
#
# Fails if the log is not cut, if the connection does not become protected again, or if a cut is
# made where server and client are not of one mind.

. "$(dirname "$0")/lib.sh"
. "$here/topology.sh"
. "$here/node.sh"
. "$here/client.sh"

size=300000

# fail_over FROM TO: the one that speaks dies, and the other goes on.
fail_over() {
	local from=$1 to=$2
	kill_node "$from"
	check "node $to takes over" wait_for 20 reads "$to" services/web/state active
	mark
	check "the client goes on" wait_for 30 answers_more 20
	check "no connection failed" reads "$to" stats/connections_failed 0
	check "no more than two answers were regenerated" \
		at_most "$to" services/web/takeover/bytes_absorbed $((2 * size + 2000))
}

# come_back NODE OTHER: it stands by, and the connection is protected again.
come_back() {
	local node=$1 other=$2
	stands_by_again "$node"
	check "node $node is ready again" wait_for 30 reads "$node" services/web/takeover_ready 1
	check "the connection is protected again" at_least "$other" stats/connections_resumed 1
}

random_file file "$size"
cluster_up
for node in a b; do
	put "$node" services/web/safe_points request
done
capture_start
nsenter --net=/run/netns/client python3 "$here/programs/keepalive.py" "$service_address" "$service_port" \
	/file "$www/file" "$work" >"$work/keepalive.log" 2>&1 &
client_pid=$!
mark
need 60 answers_more 20
check "the log was begun anew" at_least a stats/safe_points 10
check "the connection was never unprotected" reads a stats/connections_unprotected 0

fail_over a b
come_back a b
fail_over b a
come_back b a
fail_over a b

touch "$work/stop"
check "the client ends well" wait "$client_pid"
tap_note "answers: $(cat "$work/keepalive.log")"
capture_stop
check "the client saw nothing of it" wire_is_clean --takeovers 3
tell_wire
finish
