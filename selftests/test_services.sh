#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Several services on one pair of nodes, whose primary dies: the connections of all survive.
#
# Fails if what the takeover of one does with the channel, which they share, takes from another one
# what is held of its connections.

. "$(dirname "$0")/lib.sh"
. "$here/topology.sh"
. "$here/streams.sh"
. "$here/node.sh"
. "$here/client.sh"

# Beside the first one.
others=(8001 8002 8003 8004 8005)

# known: how many connections the other node knows of, of each service.
known() {
	local port
	get b services/web/connections
	for port in "${others[@]}"; do
		get b "services/port$port/connections"
	done
}

streams_up "$service_port" "${others[@]}"
services=()
for port in "${others[@]}"; do
	service_up a primary "port$port" "$port"
	service_up b backup "port$port" "$port"
	services+=(--service "$service_host:$port")
done
for port in "${others[@]}"; do
	need 30 reads a "services/port$port/protected" 1
	need 30 reads b "services/port$port/takeover_ready" 1
done
capture_start
streams_start services_client.py --timeout 40 --ports "$service_port" "${others[@]}"
check "the other node knows of three connections of each" is "$(known | tr '\n' ' ')" "3 3 3 3 3 3 "
kill_node a
step crash
check "all are restored" wait_for 15 restored 18
step after
streams_wait
capture_stop

check "all connections end well" is "$streams_code" 0
check "each service was taken over" reads b stats/takeovers 6
check "none failed" reads b stats/connections_failed 0
check "no client saw anything of it" wire_is_clean "${services[@]}"
tell_wire
finish
