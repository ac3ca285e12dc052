#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# on_peer_loss = stall: without a backup the clients are told nothing that would be lost with the node.
# An upload stands still while the channel is cut, for longer than a session lasts, and no connection
# begins; both go on when the backup is back, and the upload is protected then: its node dies at last.
#
# The same with degrade is test_peer_loss. Fails if the client's acknowledgements move while there is no
# backup, or do not move again.

. "$(dirname "$0")/lib.sh"
. "$here/topology.sh"
. "$here/node.sh"
. "$here/client.sh"

# acknowledged: how many bytes of the upload the client was told are there.
acknowledged() {
	on client ss -tinH "dport = :$service_port" | grep -o 'bytes_acked:[0-9]*' | cut -d: -f2 | sort -n |
		tail -n 1
}

acknowledges_more() {
	local before
	before=$(acknowledged)
	wait_for "$1" acknowledged_beyond "$before"
}

acknowledged_beyond() {
	[ "$(acknowledged)" -gt "$1" ]
}

# stands_still: for as long as the client would need to send again several times.
stands_still() {
	local before
	before=$(acknowledged)
	fails wait_for 3 acknowledged_beyond "$before"
}

# knocks: a client that wants to connect.
knocks() {
	on client curl --silent --max-time "$1" --output "$work/small" "$url/small"
}

random_file file $((40 << 20))
random_file small 100
cluster_up
put a services/web/on_peer_loss stall
capture_start
upload_start file --limit-rate 1M
need 60 stored a $((1 << 20))

cut_channel b
need 20 reads a services/web/protected 0
check "a peer that is silent: the client is told nothing more" stands_still
check "no connection begins" fails knocks 2
mend_channel b
check "the upload goes on" acknowledges_more 30
check "the connection was protected all the time" reads a services/web/unprotected 0

put b channel/enabled 0
need 20 reads a services/web/protected 0
check "a peer that is gone: the client is told nothing more" stands_still
check "no connection begins" fails knocks 2
put b channel/enabled 1
check "the upload goes on" acknowledges_more 30
check "a connection begins" knocks 10
check "all are protected again" wait_for 30 reads a services/web/unprotected 0

put a services/web/on_peer_loss degrade
put b channel/enabled 0
check "without a backup that is waited for the upload goes on" acknowledges_more 30
put b channel/enabled 1
check "it becomes protected" wait_for 30 reads a services/web/unprotected 0
need 20 reads b services/web/takeover_ready 1
kill_node a
curl_wait
capture_stop
check "the upload ends well" is "$curl_code" 0
check "every byte is right" cmp "$www/file" "$work/nginx-b/store/file"
check "node b is active" taken_over
check "none failed" reads b stats/connections_failed 0
check "the client saw nothing of it" wire_is_clean
tell_wire
finish
