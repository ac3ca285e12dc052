#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Nothing acknowledged is ever lost: under a random load of uploads and requests the active node dies
# at each step between a client's byte and its acknowledgement, between one instruction and the next,
# and the other one carries on; then they change places. ROUNDS= says how often at each step, STEPS=
# at which, SEED= repeats what is random.
#
# Fails if one stream has a wrong byte or does not end well, if the client saw anything of it, or if
# the client's capture, laid beside the channel's, has an acknowledgement of what the other node had
# not confirmed. That this would be found is seen by having nothing held back.

. "$(dirname "$0")/lib.sh"
. "$here/topology.sh"
. "$here/streams.sh"
. "$here/node.sh"
. "$here/client.sh"
. "$here/commit.sh"

rounds=${ROUNDS:-1}

# dies_at STEP: so many times, and each time the connections go on.
dies_at() {
	local i
	for ((i = 0; i < rounds; i++)); do
		one_round "$1" $((RANDOM % steps_to_die[$1] + 1)) || return
		change_places
		come_back || return
	done
}

# breach_is_found: with nothing held back a round does not hold, and the captures tell why.
breach_is_found() {
	local node held=yes
	for node in a b; do
		put "$node" services/web/hold_timeout_ms 2000
	done
	put "$active" test/clamp 0
	one_round queued $((RANDOM % steps_to_die[queued] + 1)) || held=no
	printf 'every stream ended well: %s\n' "$held"
	wire_is_clean --channel "$channel_capture"
	grep 'uncommitted.* acknowledges .* more than the backup has confirmed' "$work/wirecheck.txt"
}

# has_kill_points MODULE
has_kill_points() {
	grep -aq test_points "$1"
}

# sysfs_has_kill_points: those of the module that is loaded.
sysfs_has_kill_points() {
	[ -e /sys/kernel/tcp_failover/net/test ]
}

insmod "$top/build/tcp_failover.ko"
check "an ordinary module has no kill points" fails sysfs_has_kill_points
check "nor anything of their code" fails has_kill_points "$top/build/tcp_failover.ko"
unload_module
check "the module under test has" has_kill_points "$module"

seed
RANDOM=$((SEED % 32768))
streams_up "$service_port"
slow_channel
check "the module under test has the files" sysfs_has_kill_points
nsenter --net=/run/netns/client python3 "$streams/rounds_client.py" --address "$service_address" \
	--port "$service_port" --store "$work/store-b" --steps "$steps" --seed "$SEED" \
	--timeout 40 >"$work/streams.log" 2>&1 &
began=$SECONDS
for step in ${STEPS:-"${dying[@]}"}; do
	[ "$tap_failed" -eq 0 ] || break
	check "$step: the node dies $rounds times, and nothing is lost" dies_at "$step"
done
tap_note "$round deaths in $((SECONDS - began)) s"
[ "$tap_failed" -gt 0 ] || check "without the clamp the captures show what would have been lost" breach_is_found
tap_note "$(grep -c ^failed "$work/streams.log") streams did not end well without it"
finish
