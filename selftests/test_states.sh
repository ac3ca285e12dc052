#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# A connection survives in whatever state its server's death finds it: open and silent, within a
# request or an answer, pipelined, closed by one side or both, with bytes, acknowledgements, a FIN or
# the handshake's answer lost on the way, idle under keepalive, or about to be given up by
# TCP_USER_TIMEOUT. The server is one whose output depends on its input alone.
#
# Fails if one byte is wrong, a stream ends where it should not or never, a client gets a reset or
# an error, or the other node holds what its client has reset. Which state a connection was in is
# told by the nodes: what they know before the crash is counted, too.

. "$(dirname "$0")/lib.sh"
. "$here/topology.sh"
. "$here/streams.sh"
. "$here/node.sh"
. "$here/client.sh"

# deafen, undeafen: the client is heard, but what the service network has for it goes astray. Sticky,
# or the switch would learn better from the client's next frame.
deafen() {
	bridge -n switch fdb replace "$client_mac" dev a0 master static sticky
}

undeafen() {
	bridge -n switch fdb del "$client_mac" dev a0 master
}

knows() {
	at_least b services/web/connections "$1"
}

# opening: a connection of which its client has not heard yet.
opening() {
	on client ss -Htn state syn-sent | grep -q .
}

# server_of NAME: the socket that node a has of that connection.
server_of() {
	local port
	port=$(sed -n "s/^port \([0-9]*\) $1\$/\1/p" "$work/streams.log")
	on a ss -HtnoiO state all "sport = :$service_port and dport = :$port"
}

# sends_again NAME STATE: node a does, in vain, what that client should have heard.
sends_again() {
	server_of "$1" | grep -E "^$2 .*timer:\(on,[^,]*,[1-9]"
}

# all_go_astray: whatever a deaf client is about to miss has been sent, and what it has sent is there.
all_go_astray() {
	sends_again lost_response ESTAB && sends_again lost_fin FIN-WAIT-1 &&
		sends_again lost_fin_acknowledgement LAST-ACK &&
		server_of lost_acknowledgement | grep -E 'bytes_received:[0-9]{5}'
}

# states NODE: how many sockets there are in each state.
states() {
	on "$1" ss -Htn state all "sport = :$service_port" | awk '{ print $1 }' | sort | uniq -c |
		awk '{ printf "%s %s, ", $2, $1 }'
}

count=$(python3 "$streams/states_client.py" --count)
streams_up "$service_port"
capture_start
streams_start states_client.py
# One more, which its client resets when nobody hears it.
check "the other node knows of all" wait_for 10 knows "$((count + 1))"
deafen
step deaf
check "it knows of one more, whose client does not" wait_for 10 knows "$((count + 2))"
check "that client has heard nothing" opening
check "nor have those that have said something" wait_for 10 all_go_astray
tap_note "node a: $(states a)"
kill_node a
step crash
undeafen
check "all are restored" wait_for 10 at_least b stats/connections_restored "$count"
step after
streams_wait
# A client that is gone says so when it is asked.
check "none failed" reads b stats/connections_failed 0
capture_stop

check "all connections end well" is "$streams_code" 0
check "none is left at the other node" wait_for 10 reads b services/web/connections 0
tap_note "node b: $(states b)"
check "no client saw anything of it" wire_is_clean
tell_wire
finish
