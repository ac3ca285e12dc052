#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Which connections a takeover takes for those at rest: not one that was and has spoken again, if only
# half a request; not one that has ended; each of the others. Some rest, speak, rest and speak.
#
# Fails if a connection does not end well, or if the new node counts one more or less at rest.

. "$(dirname "$0")/lib.sh"
. "$here/topology.sh"
. "$here/node.sh"
. "$here/client.sh"

number=60
speaking=17
closing=9
resting=$((number - speaking - closing))

# step WORD: the program has come there.
step() {
	grep -q "^$1\$" "$work/halves.log"
}

random_file small 300
cluster_up
nsenter --net=/run/netns/client python3 "$here/programs/halves.py" --address "$service_address" \
	--port "$service_port" --content "$www/small" --number "$number" --speaking "$speaking" \
	--closing "$closing" --steps "$work" >"$work/halves.log" 2>&1 &
halves=$!
need 60 step answered
check "all rest" wait_for 30 reads a stats/rests "$number"
touch "$work/again"
need 30 step again
check "those that spoke rest again" wait_for 30 reads a stats/rests $((number + speaking))
touch "$work/half"
need 30 step half
check "node b knows who is left" wait_for 10 reads b services/web/connections $((number - closing))
kill_node a
need 30 taken_over
check "all others were at rest" reads b services/web/takeover/at_rest "$resting"
touch "$work/rest"
all_end_well "$halves" "$work/halves.log"
check "all were restored" wait_for 30 reads b services/web/takeover/restored $((number - closing))
check "none failed" reads b stats/connections_failed 0
finish
