#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# A backup that comes, or comes back, is given the connections that are there already: an upload and a
# download in the midst, one request after another, and one that has not said a word, all begun while
# there was no backup. There are no safe points. Then the node dies, and comes back, and the other one,
# and so on: from a to b, to a, and to b, always with the same connections.
#
# Fails if a connection does not become protected, is believed to be before the backup has all of it, or
# if what the backup is given is not what the client has sent.

. "$(dirname "$0")/lib.sh"
. "$here/topology.sh"
. "$here/node.sh"
. "$here/client.sh"

connections=4

# fail_over FROM TO: the one that speaks dies, and the other goes on.
fail_over() {
	local from=$1 to=$2
	kill_node "$from"
	check "node $to takes over" wait_for 20 reads "$to" services/web/state active
	mark
	check "the client goes on" wait_for 40 answers_more 5
	check "all were restored" wait_for 20 reads "$to" services/web/takeover/restored "$connections"
	check "no connection failed" reads "$to" stats/connections_failed 0
}

# given NODE OTHER: all connections of NODE are protected by OTHER.
given() {
	check "node $1: all connections become protected" \
		wait_for 60 reads "$1" services/web/unprotected 0
	check "node $1: they were given to the other one" \
		at_least "$1" services/web/resync_done "$connections"
	check "node $2 is ready" wait_for 10 reads "$2" services/web/takeover_ready 1
	check "node $2 holds all of them" reads "$2" services/web/connections "$connections"
}

# come_back NODE OTHER: it stands by, and is given the connections.
come_back() {
	local node=$1 other=$2
	stands_by_again "$node"
	given "$other" "$node"
}

# background PROGRAM [ARGUMENT...]: a client's.
background() {
	nsenter --net=/run/netns/client python3 "$here/programs/$1.py" "$service_address" \
		"$service_port" /file "$www/file" "${@:2}" >"$work/$1.log" 2>&1 &
	client_pid=$!
}

random_file file 30000
random_file large $((24 << 20))
cluster_up
put b channel/enabled 0
need 20 reads a services/web/protected 0
capture_start
background late_request "$work/stop"
silent_pid=$client_pid
background keepalive "$work"
keepalive_pid=$client_pid
upload_start large --limit-rate 400k
upload_pid=$curl_pid
download_start large --limit-rate 400k
download_pid=$curl_pid
mark
need 60 answers_more 5
need 60 stored a $((1 << 20))
need 60 grep -q connected "$work/late_request.log"
check "no connection is protected" reads a services/web/unprotected "$connections"
check "each is counted so" reads a stats/unprotected_no_backup "$connections"

put b channel/enabled 1
given a b
fail_over a b
come_back a b
fail_over b a
come_back b a
fail_over a b

touch "$work/stop"
check "the client with many requests ends well" wait "$keepalive_pid"
check "the client that was silent ends well" wait "$silent_pid"
for curl_pid in "$upload_pid" "$download_pid"; do
	curl_wait
	check "the transfer ends well" is "$curl_code" 0
done
check "every byte of the upload is right" cmp "$www/large" "$work/nginx-b/store/large"
check "every byte of the download is right" cmp "$www/large" "$work/large"
tap_note "answers: $(cat "$work/keepalive.log")"
capture_stop
check "the client saw nothing of it" wire_is_clean --takeovers 3
tell_wire
finish
