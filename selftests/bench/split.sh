# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
# shellcheck disable=SC2154,SC2034 # variables of the files sourced before, and for those after
#
# Who pays: with a thread of its own for what each device receives, all work of client, switch, node a
# and node b is done by threads of theirs, whose time the scheduler counts. Sourced after variants.sh.
#
# Aggregates are cut in software then, on whoever sends them, which no machine with a network card does:
# read the figures of bulk transfers with that in mind.
#
# What the kernel does in timers and for nobody in particular is not in it, and the threads cost
# something themselves: hence a pass of its own.

# threads_named PREFIX: their numbers.
threads_named() {
	{ grep -ls "^$1" /proc/[0-9]*/comm || true; } | tr -dc '0-9\n' | sort
}

# count_thread OWNER NUMBER...
count_thread() {
	local pid
	for pid in "${@:2}"; do
		extra_counters+=(-f "cpu_$1_$pid=/proc/$pid/schedstat")
	done
}

# new_threads PREFIX COMMAND...: runs it; their numbers are in `started`.
new_threads() {
	threads_named "$1" >"$work/before"
	"${@:2}"
	started=$(threads_named "$1" | comm -13 "$work/before" -)
}

thread_device() {
	# veth has no use for such a thread where its peer sends aggregates.
	on "$1" ethtool -K "$2" gro on tso off
	ip netns exec "$1" sh -c "echo 1 >/sys/class/net/$2/threaded"
}

# split_up: to be called without the module; until the topology goes.
split_up() {
	local place owner node
	for place in client:eth0 a:eth0 a:eth1 b:eth0 b:eth1 switch:{client0,a0,a1,b0,b1}; do
		owner=${place%:*}
		new_threads napi/ thread_device "$owner" "${place#*:}"
		# shellcheck disable=SC2086 # numbers
		count_thread "$owner" $started
	done
	for node in a b; do
		# shellcheck disable=SC2046 # numbers
		count_thread "$node" $(ip netns pids "$node")
	done
	without_module=("${extra_counters[@]}")
}

# split_channel_up NODE: brings its channel up; its threads are its own.
split_channel_up() {
	new_threads tcpfo/ channel_up "$1"
	# shellcheck disable=SC2086 # numbers
	count_thread "$1" $started
}

# split_use VARIANT: see use.
split_use() {
	extra_counters=("${without_module[@]}")
	use "$1"
	local node
	[ "$1" != absent ] || return 0
	# Anew, as use has made them: to see whose they are.
	for node in a b; do
		put "$node" channel/enabled 0
	done
	# The directors are there already, one of each node; whose is not to be seen.
	# shellcheck disable=SC2046 # numbers
	count_thread director $(threads_named tcpfo/director)
	for node in a b; do
		split_channel_up "$node"
	done
	need_protection
}
