#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Sequence numbers that pass 2^32 in the course of a transfer: of what the server sends and of what the
# client sends, before their server dies and after that.
#
# LONG=MEGABYTES adds a download of that length, whose server dies when nine tenths have come. Of 600
# MB the other node has to be told twice where they are, as an acknowledgement of the client says that
# only modulo 2^32.
#
# Fails if a byte is wrong, a connection breaks, or the numbers have not passed 2^32 (the client's kernel
# is asked).

. "$(dirname "$0")/lib.sh"
. "$here/topology.sh"
. "$here/streams.sh"
. "$here/node.sh"
. "$here/client.sh"

count=4

# long_has_come BYTES: the client's kernel has received so many.
long_has_come() {
	local come
	come=$(on client ss -tinH "dport = :80" | sed -n 's/.*bytes_received:\([0-9]*\).*/\1/p')
	[ "${come:-0}" -ge "$1" ]
}

# long_download MEGABYTES: of a file with holes. Nobody keeps it: it is compared as it comes.
long_download() {
	local code=0 at
	service_port=80
	url=http://$service_host:$service_port
	capture=$work/long.pcap
	truncate -s "$1M" "$www/long"
	for ((at = 0; at < $1; at += 20)); do
		dd if=/dev/urandom of="$www/long" bs=10000 count=1 seek=$((at * 100)) conv=notrunc status=none
	done
	cluster_up
	capture_start
	on client curl --silent --show-error --max-time "$max_time" "$url/long" |
		cmp - "$www/long" >"$work/long.log" 2>&1 &
	need "$max_time" long_has_come $(($1 * 900000))
	kill_node a
	wait $! || code=$?
	cat "$work/long.log"
	capture_stop
	check "long: every byte of $1 MB is right" is "$code" 0
	check "long: it was restored" reads b stats/connections_restored 1
	check "long: none failed" reads b stats/connections_failed 0
	check "long: no client saw anything of it" wire_is_clean
	tell_wire
	tell_takeover b
}

streams_up "$service_port"
capture_start
streams_start sequence_client.py
check "the other node knows of all" wait_for 20 reads b services/web/connections "$count"
kill_node a
step crash
streams_wait
capture_stop

check "all connections end well" is "$streams_code" 0
check "all were restored" restored "$count"
check "none failed" reads b stats/connections_failed 0
check "no client saw anything of it" wire_is_clean
tell_wire
[ -z "${LONG:-}" ] || long_download "$LONG"
finish
