#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Thousands of segments that mean no good, beside a download and an upload: at first rubbish, some of it
# in the name of these very clients; then SYNs, more than the module may take note of; then rubbish to
# both nodes over a takeover.
#
# Fails if a transfer is disturbed, or its log has one byte more or less than it has sent; if there is no
# bound to what the nodes take note of, or to what they say in the kernel log; or if all is not as it
# was when it is over. SEED= repeats what is random.

. "$(dirname "$0")/lib.sh"
. "$here/topology.sh"
. "$here/node.sh"
. "$here/client.sh"
. "$here/peers.sh"
. "$here/hostile.sh"

size=$((6 << 20))
rate=500k
# Of the client, during the flood of rubbish.
ports=(40001 40002)
# During the flood of SYNs.
max_connections=40
# What the module says in the course of this test.
max_lines=20

# transfers_start NODE [DOWNLOAD'S PORT] [UPLOAD'S PORT]
transfers_start() {
	local curl=(curl --silent --show-error --fail --max-time "$max_time" --limit-rate "$rate"
		--write-out '%{size_request}\n')
	rm -f "$work/file" "$work"/nginx-?/store/file
	peer_start download "${curl[@]}" ${2:+--local-port "$2"} --output "$work/file" "$url/file"
	peer_start upload "${curl[@]}" ${3:+--local-port "$3"} --upload-file "$www/file" \
		"$url/store/file"
	need 60 has_bytes "$work/file" $((size / 20))
	need 60 stored "$1" $((size / 20))
}

transfers_run() {
	peer_runs download && peer_runs upload
}

# transfers_end_well NODE WHAT
transfers_end_well() {
	check "$2: the download ends well" peer_ends_well download
	check "$2: byte by byte" cmp "$www/file" "$work/file"
	check "$2: the upload ends well" peer_ends_well upload
	check "$2: byte by byte" cmp "$www/file" "$work/nginx-$1/store/file"
}

# sent: how many bytes both transfers say that they have sent.
sent() {
	cat "$work/download.log" "$work/upload.log" | awk '{ n += $1 } END { print n }'
}

# flood_ready NODE [OPTION...]: a flood that waits for its go: making its packets takes longer than to
# send them.
flood_ready() {
	rm -f "$work/go" "$work/flood.log"
	hostile flood "$1" --go "$work/go" "${@:2}" >"$work/flood.log" 2>&1 &
	flood_pid=$!
	need 60 grep -q '^ready$' "$work/flood.log"
}

# flood_ends: all of it was sent.
flood_ends() {
	touch "$work/go"
	wait "$flood_pid"
	grep '^#' "$work/flood.log"
}

# counted: connections and bytes in the log of node a.
counted() {
	printf '%s %s\n' "$(get a stats/connections_protected)" "$(get a stats/bytes_logged)"
}

# calm: node a has no connection left, and node b is ready.
calm() {
	reads a services/web/connections 0 && reads b services/web/takeover_ready 1
}

# says_little: what the module has to say does not grow with what it is sent.
says_little() {
	kernel_log | grep 'tcp_failover:' >"$work/said" || true
	tail -n 5 "$work/said"
	[ "$(wc -l <"$work/said")" -le "$max_lines" ]
}

seed
random_file file "$size"
random_file page 400
cluster_up
hostile_up
capture_start

flood_ready a --count 10000 --rate 2500 \
	--victim "$client_address:${ports[0]}" "$client_address:${ports[1]}"
transfers_start a "${ports[@]}"
check "a flood of rubbish ends" flood_ends
cat "$work/check.log"
check "rubbish: both transfers were under way" transfers_run
transfers_end_well a rubbish
check "rubbish: the transfers are all that was logged" is "$(counted)" "2 $(sent)"
check "rubbish: both were protected to their end" reads a stats/connections_unprotected 0

need 60 calm
for node in a b; do
	put "$node" limits/max_connections "$max_connections"
	# Requests that nobody ends are forgotten after three seconds, not after a minute.
	on "$node" sysctl -qw net.ipv4.tcp_synack_retries=1
done
flood_ready a --count 3000 --rate 1000 --syns
transfers_start a
check "a flood of SYNs ends" flood_ends
cat "$work/check.log"
check "SYNs: both transfers were under way" transfers_run
check "SYNs: no more is noted than is allowed" at_most a services/web/connections "$max_connections"
check "SYNs: nor by the other node" at_most b services/web/connections "$max_connections"
check "SYNs: there were more" at_least a stats/connections_unnoted 1
check "SYNs: another client is served" on client curl --silent --fail --max-time 20 \
	--output /dev/null "$url/page"
transfers_end_well a SYNs
check "SYNs: both were protected to their end" at_most a stats/connections_unprotected 1
check "SYNs: all is as it was" wait_for 90 calm

for node in a b; do
	flood_ready "$node" --count 1000000 --rate 500
done
transfers_start a
touch "$work/go"
kill_node a
check "takeover: both transfers were under way" transfers_run
transfers_end_well b takeover
end_processes hostile
capture_stop
check "takeover: both were restored" reads b stats/connections_restored 2
check "takeover: none failed" reads b stats/connections_failed 0
check "no client saw anything of it" wire_is_clean
tell_wire
check "the module says little" says_little
finish
