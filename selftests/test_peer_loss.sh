#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Losing the peer never stalls the primary (I7), and is no reason to take over: the channel fails,
# shortly and for good, under an upload and a download, while the client's network loses a third of
# its packets. They go on, whoever was waiting for a confirmation is let go, and protection comes
# back by itself. SEED= repeats the lengths of the pauses.
#
# Fails if an acknowledgement stays held back after a pause, as it does if the log lacks a piece that
# the client was told of in the pause, or if node b, which hears nothing but whose question for the
# address is answered, speaks.

. "$(dirname "$0")/lib.sh"
. "$here/topology.sh"
. "$here/node.sh"
. "$here/client.sh"

pauses=${PAUSES:-6}
# Enough for all of it.
size=$(((pauses * 8 + 50) << 20))

# uploaded_more: node a's nginx stores another megabyte.
uploaded_more() {
	local before
	before=$(stored_bytes a)
	wait_for 20 stored a $((before + (1 << 20)))
}

# pause MILLISECONDS: of the channel; it is what is being tested, not a wait.
pause() {
	cut_channel b
	client_network loss 30%
	sleep "$(($1 / 1000)).$(printf %03d $(($1 % 1000)))"
	client_network
	mend_channel b
}

# client_network [NETEM...]: what becomes of the client's packets.
client_network() {
	tc -n client qdisc replace dev eth0 root netem limit 10000 delay 10ms "$@"
}

is_protected() {
	reads a services/web/protected 1 && reads a channel/state up
}

seed
RANDOM=$((SEED % 32768))
random_file file "$size"
cluster_up
capture_start
# Many small packets: many gaps.
on client ethtool -K eth0 tso off gso off >/dev/null
client_network
upload_start file --limit-rate 2M
upload_pid=$curl_pid
nsenter --net=/run/netns/client curl --silent --max-time "$max_time" --limit-rate 2M \
	--output "$work/file" "$url/file" &
download_pid=$!
need 60 stored a $((1 << 20))

for ((i = 0; i < pauses; i++)); do
	# Half of them close to the time-out, where most can go wrong.
	length=$((RANDOM % 2 ? RANDOM % 400 + 400 : RANDOM % 1500 + 50))
	pause "$length"
	check "the upload goes on after a pause of $length ms" uploaded_more
	check "protection comes back" wait_for 20 is_protected
done

cut_channel b
check "the service is unprotected without the channel" wait_for 20 reads a services/web/protected 0
check "the upload goes on without the channel" uploaded_more
check "and on" uploaded_more
check "node b does not take over from a node that answers" reads b services/web/state standby
check "node b is not ready to" wait_for 20 reads b services/web/takeover_ready 0
mend_channel b
check "protection comes back" wait_for 30 is_protected

curl_pid=$upload_pid
curl_wait
check "the upload ends well" is "$curl_code" 0
check "every byte is right" cmp "$www/file" "$work/nginx-a/store/file"
check "the download ends well" wait "$download_pid"
check "every byte is right" cmp "$www/file" "$work/file"
capture_stop
check "node a was active all the time" reads a services/web/epoch 1
check "the client saw nothing of it" wire_is_clean --takeovers 0
tell_wire
finish
