# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
# shellcheck disable=SC2154,SC2034 # variables of the files sourced before, and for those after
#
# What tests of input commit share: a node that dies at a certain step, which takes the test build
# of the module (make TEST=1), and a capture of the channel beside the client's. Sourced after
# client.sh.

module=$top/build/test/tcp_failover.ko
channel_capture=$work/channel.pcap
# A round is short.
capture_options=(--immediate-mode)
# The steps of rust/test_points.rs, in their order, and how often each may be taken in a round before
# the node dies.
dying=(unlogged queued sending received confirmed released aggregate fin)
declare -A steps_to_die=([unlogged]=60 [queued]=60 [sending]=60 [received]=60 [confirmed]=60
	[released]=60 [aggregate]=12 [fin]=12)
active=a
standby=b
round=0

# slow_channel: records take a while, so that there is much that waits for them.
slow_channel() {
	local node
	for node in a b; do
		tc -n switch qdisc replace dev "${node}1" root netem limit 10000 delay 3ms
	done
}

# channel_capture_start NODE: all that it says and hears on the channel.
channel_capture_start() {
	rm -f "$channel_capture"
	nsenter --net="/run/netns/$1" tcpdump --immediate-mode -i eth1 -w "$channel_capture" -U \
		-Z root -s 0 -B 65536 tcp port 7789 2>"$work/tcpdump-channel.log" &
	channel_pid=$!
	# What is confirmed before it listens would seem not to have been.
	need 20 test -s "$channel_capture"
}

channel_capture_stop() {
	kill "$channel_pid"
	wait "$channel_pid" || true
}

channel_capture_is_whole() {
	grep -q '^0 packets dropped by kernel' "$work/tcpdump-channel.log" || {
		cat "$work/tcpdump-channel.log"
		return 1
	}
}

is_dead() {
	reads "$1" test/kill dead
}

# said TEXT NUMBER: the clients have said that so often.
said() {
	[ "$(grep -c "^$1" "$work/streams.log")" -ge "$2" ]
}

# come_back: the node that is dead begins to live again, as after a reboot: it knows nothing of any
# connection, stands by, and protects.
come_back() {
	local node=$standby other=$active
	put "$node" services/web/role off
	on "$node" ss -tK state connected "sport = :$service_port" >/dev/null
	put "$node" services/web/role backup
	put "$node" test/kill off
	put "$node" channel/enabled 0
	put "$node" channel/enabled 1
	wait_for 20 reads "$other" services/web/protected 1 &&
		wait_for 20 reads "$node" services/web/takeover_ready 1
}

# one_round STEP COUNT: connections run, the active node dies when it takes the step the COUNT-th
# time, the other one takes over, and the connections come to their end. What a failure looked like
# is kept.
one_round() {
	round=$((round + 1))
	printf 'round %d: node %s dies at %s, number %d\n' "$round" "$active" "$1" "$2"
	channel_capture_start "$standby"
	capture_start
	local code=0
	fail_over "$@" || code=1
	capture_stop
	channel_capture_stop
	[ "$code" -ne 0 ] || round_is_clean || code=1
	[ "$code" -eq 0 ] || cp "$capture" "$work/round-$round-client.pcap"
	[ "$code" -eq 0 ] || cp "$channel_capture" "$work/round-$round-channel.pcap"
	return "$code"
}

fail_over() {
	step "round-$round"
	wait_for 30 said ready "$round" || return
	put "$active" test/kill "$1 $2"
	wait_for 30 is_dead "$active" || return
	step "crash-$round"
	wait_for 60 said round "$round" || return
	grep -q "^round $round ended well\$" "$work/streams.log" || {
		grep "^failed $round-" "$work/streams.log"
		return 1
	}
}

round_is_clean() {
	reads "$standby" services/web/state active && reads "$standby" stats/connections_failed 0 &&
		channel_capture_is_whole && wire_is_clean --channel "$channel_capture"
}
