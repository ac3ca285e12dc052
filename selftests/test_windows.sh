#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Closed and tiny windows when the server dies: clients that do not read, servers that do not, both
# at once; and receive buffers that are as small as can be, at the client's end, and then, in a
# second takeover, at the server's.
#
# Fails if a window that is closed is never opened again (the update went to the dead node, or was
# never sent), if what an ordinary server has offered is taken back, or on a wrong byte. That windows
# are closed at the crash is seen in the sockets' timers.

. "$(dirname "$0")/lib.sh"
. "$here/topology.sh"
. "$here/streams.sh"
. "$here/node.sh"
. "$here/client.sh"

# closed NUMBER NAMESPACE FILTER: so many sockets stand before a closed window.
closed() {
	local seen
	seen=$(persisting "$2" "$3")
	[ "$seen" -ge "$1" ] || {
		printf '%s before a closed window, not %s\n' "$seen" "$1"
		return 1
	}
}

# takeover OF [OPTION...]: all connections that the options choose.
takeover() {
	local of=$1 count clients servers before
	shift
	rm -f "$capture"
	capture_start
	streams_start windows_client.py --timeout 60 "$@"
	read -r count clients servers <<<"$(sed -n 's/^count //p' "$work/streams.log")"
	check "$of: $clients clients have closed their windows" \
		wait_for 5 closed "$clients" a "sport = :$service_port"
	check "$of: $servers servers have closed their windows" \
		wait_for 5 closed "$servers" client "dport = :$service_port"
	check "$of: the other node knows of all" reads b services/web/connections "$count"
	kill_node a
	step crash
	need 30 taken_over
	sleep 1.5
	before=$(get b stats/connections_restored)
	tap_note "restored while servers and clients stand still: $before of $count"
	step after
	sleep 1
	step later
	streams_wait
	capture_stop

	check "$of: all connections end well" is "$streams_code" 0
	check "$of: all were restored" restored "$count"
	check "$of: none failed" reads b stats/connections_failed 0
	# A server whose buffer is fixed and tiny cannot hold all that the module offers in its name.
	case $* in
	*--tiny*) ;;
	*) check "$of: no client saw anything of it" wire_is_clean && tell_wire ;;
	esac
}

streams_up "$service_port"
takeover "ordinary servers"
topology_down
streams_up "$service_port:1"
takeover "tiny servers" --tiny
finish
