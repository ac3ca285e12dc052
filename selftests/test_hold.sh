#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# The hold: between the moment at which the address moves and the one at which the sockets are
# restored, a client's packets meet no socket, and a kernel answers that with a reset. A standby
# node has to swallow them instead, silently, and count them.
#
# Here the address is moved by hand, in the client's neighbour table, while node a goes on serving:
# so what node b does with packets for it is seen alone.
#
# Negative, at the end: with node b's role off the same move resets the connection.

. "$(dirname "$0")/lib.sh"
. "$here/topology.sh"
. "$here/node.sh"
. "$here/client.sh"

size=$((16 << 20))

# point_at NODE: the client sends what is for the service to that node.
point_at() {
	ip -n client neigh replace "$service_address" lladdr "${node_mac[$1]}" dev eth0 nud permanent
}

# connect PORT: the exit code of curl: 7 refused, 28 no answer.
connect() {
	local code=0
	on client curl --silent --output /dev/null --connect-timeout 3 \
		"http://$service_address:$1/small" || code=$?
	echo "$code"
}

held_more_than() {
	at_least b stats/held_packets "$(($1 + 1))"
}

# answers: who answers for the service's address.
answers() {
	on client arping -c 2 -I eth0 "$service_address" | grep -oE '\[[0-9A-Fa-f:]+\]' |
		tr -d '[]' | tr A-F a-f | sort -u | tr '\n' ' '
}

random_file file "$size"
random_file small 100
cluster_up
# A standby node does not ask for neighbours in the name of the service: it has to know the client.
on b ping -q -c 1 -W 5 "$client_address" >/dev/null
capture_start

check "only the active node answers for the address" is "$(answers)" "${node_mac[a]} "

held=$(get b stats/held_packets)
point_at b
check "the standby node does not answer a SYN" is "$(connect 80)" 28
check "it counts it" held_more_than "$held"
check "it serves an unprotected port of the same address" is "$(connect 81)" 0
check "it resets a closed port of the same address" is "$(connect 82)" 7
point_at a

download_start file --limit-rate 4M
need 60 has_bytes "$work/file" $((size / 4))
held=$(get b stats/held_packets)
point_at b
need 30 held_more_than $((held + 3))
check "the connection lives while its packets go astray" curl_runs
point_at a
curl_wait
capture_stop
check "curl ends well" is "$curl_code" 0
check "every byte is right" cmp "$www/file" "$work/file"
check "node b has not taken over" reads b services/web/state standby
check "the client saw no reset" wire_is_clean --takeovers 0

put b services/web/role off
rm -f "$work/file" "$capture"
capture_start
download_start file --limit-rate 4M
need 60 has_bytes "$work/file" $((size / 4))
point_at b
curl_wait
capture_stop
check "without the hold the same move breaks the connection" test "$curl_code" -ne 0
check "by a reset" wire_shows_a_reset --takeovers 0
finish
