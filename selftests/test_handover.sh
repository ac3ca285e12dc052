#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Handing a service over on purpose: a download, an upload and a connection with one request after
# another move under load, without a loss or a reset, to and fro; refused, with a reason, when it cannot
# be. In between the standby's role is off for a moment, of which the connections know nothing.
#
# Fails if the nodes wait for a silence, or are both heard, or if a handover that was refused has
# changed anything, or if one is told as if something had gone wrong.

. "$(dirname "$0")/lib.sh"
. "$here/topology.sh"
. "$here/node.sh"
. "$here/client.sh"

size=$((64 << 20))
answer=100000

# pace: passes on a megabyte in a second at most, until all has moved.
pace() {
	until [ -e "$work/moved" ]; do
		head -c 100000
		sleep 0.1
	done
	cat
}

hand_over() {
	put "$1" services/web/handover 1
}

# refused NODE: the handover is, and says why; the node's state stays.
refused() {
	local state
	state=$(get "$1" services/web/state)
	! hand_over "$1" 2>"$work/error" || return
	grep -q 'resource busy' "$work/error" || {
		cat "$work/error"
		return 1
	}
	kernel_log | tail -n 8 | grep -F 'handover: "1" refused: ' && reads "$1" services/web/state "$state"
}

goes_on() {
	mark
	wait_for 20 answers_more 20
}

# tells_times NODE: how long the connections took, the slowest no longer than all of them together.
tells_times() {
	local total slowest last
	total=$(get "$1" services/web/takeover/restore_total_us)
	slowest=$(get "$1" services/web/takeover/restore_max_us)
	last=$(get "$1" services/web/takeover/last_splice_us)
	printf '# moved within %d us, %d us each, the slowest %d us\n' "$last" $((total / 3)) "$slowest"
	[ "$slowest" -gt 0 ] && [ "$slowest" -lt "$total" ] && [ "$slowest" -le "$last" ]
}

# moves FROM TO: hands over once all is protected.
moves() {
	local from=$1 to=$2
	need 40 reads "$to" services/web/takeover_ready 1
	check "node $from hands over" hand_over "$from"
	check "node $from stands by" reads "$from" services/web/state standby
	check "node $to is active" reads "$to" services/web/state active
	check "all three connections moved" wait_for 20 reads "$to" services/web/takeover/restored 3
	check "requests go on" goes_on
	check "it is told how long that took" tells_times "$to"
	cat "$work/check.log"
}

# urgent: a client whose connection is not protected, as it sends urgent data.
urgent() {
	nsenter --net=/run/netns/client python3 -c "
import socket, struct, time
s = socket.create_connection(('$service_address', $service_port))
# It ends with a reset.
s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
s.send(b'x', socket.MSG_OOB)
time.sleep(600)" &
	urgent_pid=$!
}

# standby_begins_anew NODE OTHER: its role is off for a moment, and what it has held is forgotten.
standby_begins_anew() {
	local refused
	refused=$(get "$2" stats/unprotected_refused)
	ip -n "$1" addr del "$service_address/$host_prefix" dev eth0
	put "$1" services/web/role off
	put "$1" services/web/role backup
	service_address_up "$1"
	check "node $2 hears that nothing is held any more" \
		wait_for 10 at_least "$2" stats/unprotected_refused $((refused + 3))
}

random_file file "$size"
random_file answer "$answer"
cluster_up
for node in a b; do
	put "$node" services/web/safe_points request
done
check "a standby refuses to hand over" refused b
check "anything but 1 is refused" fails put a services/web/handover 2
cut_channel b
need 20 reads a services/web/protected 0
check "a node without a peer refuses to hand over" refused a
mend_channel b
need 30 reads a services/web/protected 1
need 30 reads b services/web/takeover_ready 1

capture_start
nsenter --net=/run/netns/client python3 "$here/programs/keepalive.py" "$service_address" \
	"$service_port" /answer "$www/answer" "$work" >"$work/keepalive.log" 2>&1 &
keepalive_pid=$!
mark
need 60 answers_more 20
pace <"$www/file" | on client curl --silent --show-error --fail --max-time "$max_time" \
	--upload-file - "$url/store/file" &
upload_pid=$!
on client curl --silent --show-error --fail --max-time "$max_time" "$url/file" | pace >"$work/file" &
download_pid=$!
need 60 stored a $((1 << 20))
need 60 has_bytes "$work/file" $((1 << 20))

losses=$(get b stats/peer_losses)
sessions=$(get b stats/sessions)
moves a b
check "node b did not wait for a silence" reads b stats/peer_losses "$losses"
check "the channel's session went on" reads b stats/sessions "$sessions"
need 40 reads a services/web/takeover_ready 1
urgent
need 60 at_least b services/web/unprotected 1
check "node b refuses to hand over what is not protected" refused b
kill "$urgent_pid"
moves b a
standby_begins_anew b a
moves a b

touch "$work/moved"
check "the upload ends well" wait "$upload_pid"
check "every byte is right" cmp "$www/file" "$work/nginx-b/store/file"
check "the download ends well" wait "$download_pid"
check "every byte is right" cmp "$www/file" "$work/file"

touch "$work/stop"
check "the client ends well" wait "$keepalive_pid"
for node in a b; do
	check "no connection failed on node $node" reads "$node" stats/connections_failed 0
	check "node $node saw no takeover in it" reads "$node" stats/takeovers 0
	check "node $node saw nobody speak who should not" reads "$node" stats/stand_downs 0
	check "node $node saw nobody have what is its own" reads "$node" stats/address_conflicts 0
done
capture_stop
check "the client saw nothing of it" wire_is_clean --takeovers 3
tell_wire
tell_takeover b
finish
