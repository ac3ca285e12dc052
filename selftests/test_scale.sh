#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Ten thousand idle connections and five hundred downloads through one takeover. Those that idle are
# known to be at rest, so the downloads do not wait for them, and each goes on when it speaks.
#
# Fails if a connection breaks or gets a wrong byte, if one that idled was not at rest, or if the first
# download had to wait for those that idled. SEED= repeats the order in which they speak, IDLE= and
# DOWNLOADS= say how many there are; SHORT= has a twentieth of them.

. "$(dirname "$0")/lib.sh"
. "$here/topology.sh"
nginx_connections=20000
. "$here/node.sh"
. "$here/client.sh"

parts=20
[ -z "${SHORT:-}" ] || parts=1
idle=${IDLE:-$((parts * 500))}
downloads=${DOWNLOADS:-$((parts * 25))}

crowd_is_ready() {
	grep -q '^ready$' "$work/crowd.log"
}

takeover_is_over() {
	[ "$(get b services/web/takeover/restored)" -ge $((idle + downloads)) ]
}

# soon: the first connection was spliced within a second of the address.
soon() {
	local taken first
	taken=$(get b services/web/takeover/address_us)
	first=$(get b services/web/takeover/first_splice_us)
	echo "address after $taken us, first connection after $first us"
	[ "$first" -gt 0 ] && [ $((first - taken)) -lt 1000000 ]
}

seed
ulimit -n 65536
random_file large 200000
random_file small 300
cluster_up
nsenter --net=/run/netns/client python3 "$here/programs/crowd.py" --address "$service_address" \
	--port "$service_port" --folder "$www" --idle "$idle" --downloads "$downloads" \
	--go "$work/go" >"$work/crowd.log" 2>&1 &
crowd=$!
need 400 crowd_is_ready
check "all connections are protected" reads a stats/connections_unprotected 0
check "node b knows of all of them" reads b services/web/connections $((idle + downloads))
check "it is told of all that are at rest" wait_for 30 at_least a stats/rests "$idle"
for node in a b; do
	tap_note "node $node: $(grep -h . "$(sysfs "$node" .)"/stats/{records_sent,bytes_logged} | tr '\n' ' ')"
done
kill_node a
touch "$work/go"
need 30 taken_over
all_end_well "$crowd" "$work/crowd.log"
check "those that idled were at rest" at_least b services/web/takeover/at_rest "$idle"
check "the first connection went on soon" soon
check "all were restored" wait_for 60 takeover_is_over
check "none failed" reads b stats/connections_failed 0
tell_takeover b
finish
