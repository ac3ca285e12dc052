#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# A channel that lies: garbage, frames and records that are cut off, of another version, type,
# length or order. Each is counted and dropped, the session ends, a good peer gets a new one, and
# nothing crashes. channel_peer.py plays the bad peer, once as the side that connects and once as
# the side that listens. Mutations are random; SEED= repeats them.
#
# Fails if something malformed is taken, not counted, or leaves the channel unable to come up.

. "$(dirname "$0")/lib.sh"
. "$here/topology.sh"
. "$here/node.sh"
. "$here/client.sh"

# The last part of a pipe counts its results in this shell.
shopt -s lastpipe

# results_of COMMAND...: its lines "ok NAME" and "not ok NAME" are results.
results_of() {
	local line code=0
	{ "$@" 2>&1 || echo "exit $?"; } | while IFS= read -r line; do
		case $line in
		"ok "*) tap_result ok "${line#ok }" ;;
		"not ok "*) tap_result "not ok" "${line#not ok }" ;;
		"exit "*) code=${line#exit } ;;
		*) tap_note "$line" ;;
		esac
	done
	check "the bad peer comes to its end" is "$code" 0
}

# bad_peer NODE ARGUMENT...: plays NODE's part against the other one.
bad_peer() {
	local node=$1
	shift
	on "$node" python3 "$here/channel_peer.py" --stats "$(sysfs "$(other_node "$node")" stats)" \
		--local "${channel_address[$node]}" \
		--peer "${channel_address[$(other_node "$node")]}" "$@"
}

seed
random_file file 1000000
topology_up
keep_hooks+=(keep_counters)
for node in a b; do
	ip -n "$node" addr add "$service_address/32" dev eth0
	nginx_up "$node"
done
load_module

# Node b listens: the peer connects to it.
channel_up b
service_up b backup
results_of bad_peer a --connect
check "node b has not taken over" reads b services/web/state standby

# A stranger on the same network is turned away.
ip -n a addr add 10.78.0.9/24 dev eth1
refused=$(get b stats/channel_refused)
check "a stranger gets no session" on a python3 "$here/channel_peer.py" --stranger \
	--stats "$(sysfs b stats)" --local 10.78.0.9 --peer "${channel_address[b]}"
check "it is counted" at_least b stats/channel_refused $((refused + 1))

# Now the real one.
channel_up a
service_up a primary
check "a good peer gets its session" wait_for 30 reads b channel/state up
check "the service is protected" wait_for 30 reads a services/web/protected 1
check "node b is ready" wait_for 30 reads b services/web/takeover_ready 1

# Node a connects: the peer listens. A node without a role is a host like any other: it must not
# have the address.
ip -n b addr del "$service_address/32" dev eth0
put b services/web/role off
put b channel/enabled 0
need 30 reads a channel/state connecting
results_of bad_peer b --listen
channel_up_again() {
	put b channel/enabled 1
	put b services/web/role backup
	ip -n b addr add "$service_address/32" dev eth0
	wait_for 30 reads b services/web/takeover_ready 1
}
check "after all that the pair is whole again" channel_up_again

# And does its work.
capture_start
download_start file
curl_wait
capture_stop
check "curl ends well" is "$curl_code" 0
check "every byte is right" cmp "$www/file" "$work/file"
check "the connection was protected" at_least a stats/connections_protected 1
check "the client saw nothing of it" wire_is_clean --takeovers 0
finish
