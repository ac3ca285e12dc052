#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# A hundred connections of all kinds survive the death of their server: downloads that run, stand
# still or trickle, uploads, idle keep-alive connections, and requests that are half sent. Sizes and
# kinds are random; SEED= repeats a run.
#
# Fails if one connection of them gets a wrong byte, a reset, or no answer. clients.py checks each
# answer against the file itself.

. "$(dirname "$0")/lib.sh"
. "$here/topology.sh"
. "$here/node.sh"
. "$here/client.sh"

connections=${CONNECTIONS:-100}

seed
random_file file $((4 << 20))
cluster_up
capture_start
nsenter --net=/run/netns/client python3 "$here/clients.py" --address "$service_address" --port "$service_port" \
	--file "$www/file" --store "$work/nginx-b/store" --connections "$connections" \
	--go "$work/go" --timeout "$max_time" >"$work/clients.log" 2>&1 &
clients=$!
need 120 all_are_under_way
check "all connections are protected" reads a stats/connections_protected "$connections"
check "the other node holds all of them" reads b services/web/connections "$connections"
kill_node a
touch "$work/go"
code=0
wait "$clients" || code=$?
capture_stop

grep '^# ' "$work/clients.log" || true
check "all connections end well" is "$code" 0
grep '^failed' "$work/clients.log" | head -n 10 | sed 's/^/# /' || true
check "node b is active" taken_over
check "none failed" reads b stats/connections_failed 0
check "all were restored" reads b stats/connections_restored "$connections"
check "no client saw anything of it" wire_is_clean
tell_wire
tell_takeover b
finish
