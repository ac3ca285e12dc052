#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# shellcheck disable=SC2154 # variables of the files sourced
#
# Connections that come and go leave nothing behind on either node, however many: COUNT= of them, a million
# if nothing is said, in ten parts, protected, each with a request and its answer.
#
# Fails if the nodes have not forgotten all of them, if they hold memory for what clients have sent, or if the
# kernel's memory has grown by a byte or more per connection from the second part on.

. "$(dirname "$0")/lib.sh"
# load.c speaks nothing else.
family=4
. "$here/topology.sh"
. "$here/node.sh"

count=${COUNT:-1000000}
parts=10
load=$top/build/bench/load
# What caches may grow by without any connection, in kB.
slack_kb=2048

# slabs: the kernel's memory in slabs, in kB, without what can be given back.
slabs() {
	sync
	echo 3 >/proc/sys/vm/drop_caches
	sed -n 's/^SUnreclaim: *\([0-9]*\) kB/\1/p' /proc/meminfo
}

# forgotten NODE: all connections, and what was logged of them.
forgotten() {
	reads "$1" services/web/connections 0 && reads "$1" limits/replica_bytes 0
}

# part: a tenth of them.
part() {
	on client "$load" "$service_address" 80 connects "$www/answer" $((count / parts)) 16
}

all_parts() {
	local number code=0
	for ((number = 1; number <= parts; number++)); do
		part || code=1
		need 150 forgotten a
		need 60 forgotten b
		after=$(slabs)
		[ "$number" != 1 ] || before=$after
		tap_note "after $((number * count / parts)): $after kB"
	done
	return "$code"
}

grew_little() {
	echo "before $before kB, after $after kB"
	[ $((after - before)) -lt $((count * (parts - 1) / parts / 1024 + slack_kb)) ]
}

[ -e "$load" ] || skip "no build/bench/load"
head -c 200 /dev/urandom | base64 -w 0 >"$www/answer"
cluster_up
for node in a b; do
	put "$node" limits/max_connections "$count"
done
on client sysctl -qw net.ipv4.ip_local_port_range="1024 65535" net.ipv4.tcp_tw_reuse=1
protected=$(get a stats/connections_protected)
code=0
all_parts >"$work/parts.log" 2>&1 || code=$?
sed 's/^figure.*//; /^$/d' "$work/parts.log"
check "all connections end well" is "$code" 0
check "all of them were protected" \
	at_least a stats/connections_protected $((protected + count / parts * parts))
check "none is unprotected" reads a stats/connections_unprotected 0
check "the kernel's memory has not grown with them" grew_little
finish
