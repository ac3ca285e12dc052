#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# What is not protected is as without the module (I13): other ports of the same addresses, other
# namespaces with the same address and port, before and while a service is taken over.
#
# Fails if the module holds, clamps, counts or restores anything that is none of its business.

. "$(dirname "$0")/lib.sh"
. "$here/topology.sh"
. "$here/node.sh"
. "$here/client.sh"

size=$((16 << 20))

# fetch NAME URL [CURL OPTION...]: in the background, into $work/NAME; the process goes to fetch_pid.
fetch() {
	local name=$1 from=$2
	shift 2
	nsenter --net=/run/netns/client curl --silent --show-error --max-time "$max_time" --output "$work/$name" "$@" "$from" \
		>"$work/$name.log" 2>&1 &
	fetch_pid=$!
}

# counters NODE: what the module says of connections and packets: not what the channel and ARP, which
# go on all the time, count.
counters() {
	(cd "$(sysfs "$1" stats)" && grep -rE . . | sort |
		grep -Ev '/records_|/address_conflicts|/sessions')
}

random_file file "$size"
cluster_up

# A namespace that nobody has configured, with the service's very address and port.
add_host other 10.77.0.4 02:00:00:00:00:0d
ip -n other addr add 10.99.0.1/24 dev lo
nginx_up other
ip -n client route add 10.99.0.1 via 10.77.0.4

counters a >"$work/before.a"
counters b >"$work/before.b"
check "a closed port resets" is "$(code_of on client curl -s "http://$service_address:82/")" 7
check "an unprotected port serves" is \
	"$(code_of on client curl -s -o "$work/81" "http://$service_address:81/file")" 0
check "byte by byte" cmp "$www/file" "$work/81"
check "another namespace serves the same port" is \
	"$(code_of on client curl -s -o "$work/other" "http://10.99.0.1:80/file")" 0
check "byte by byte" cmp "$www/file" "$work/other"
counters a >"$work/after.a"
counters b >"$work/after.b"
check "node a counted nothing of it" diff "$work/before.a" "$work/after.a"
check "node b counted nothing of it" diff "$work/before.b" "$work/after.b"

# Over a takeover: one transfer that dies with its node, two that have nothing to do with it.
fetch dies "http://${node_address[a]}:81/file" --limit-rate 2M --speed-limit 1 --speed-time 8
dies=$fetch_pid
fetch stays "http://${node_address[b]}:81/file" --limit-rate 2M
stays=$fetch_pid
fetch apart "http://10.99.0.1:80/file" --limit-rate 2M
apart=$fetch_pid
for name in dies stays apart; do
	need 60 has_bytes "$work/$name" $((size / 8))
done
kill_node a
need 30 taken_over
check "the unprotected connection of the dead node is lost" fails wait "$dies"
check "the other node's own goes on" wait "$stays"
check "byte by byte" cmp "$www/file" "$work/stays"
check "the other namespace's goes on" wait "$apart"
check "byte by byte" cmp "$www/file" "$work/apart"
check "nothing was restored" reads b stats/connections_restored 0
check "nothing failed" reads b stats/connections_failed 0
check "a closed port of the new node resets" is \
	"$(code_of on client curl -s "http://$service_address:82/")" 7
finish
