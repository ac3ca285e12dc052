# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
# shellcheck disable=SC2154,SC2034 # variables of the files sourced before, and for those after
#
# The same cluster with and without the module, and the client that measures. Sourced after topology.sh
# and before node.sh, whose nginx is as follows.

nginx_connections=${nginx_connections:-4096}
# As Debian's own configuration has it; and connections that last.
nginx_options="sendfile on; tcp_nopush on; keepalive_requests 1000000000;"
# Buffers that do not grow: how far they have come is a matter of chance.
nginx_listen_options=(sndbuf=100k rcvbuf=500k)
load=$top/build/bench/load
repair=$top/build/bench/repair
# What is put in front of the client, such as perf.
load_runner=()
# What is being measured, and how many connections idle meanwhile.
pass=cost
held=0
# Connections that are handed over.
moved=1000

# bench_up: topology and servers, node a having the address, and nothing of the module.
bench_up() {
	local node
	# What a connection has learned is not for the next one, and libraries lie where they lay.
	echo 0 >/proc/sys/kernel/randomize_va_space
	topology_up
	keep_hooks+=(keep_counters)
	ulimit -n 300000
	for node in client a b; do
		on "$node" sysctl -qw net.ipv4.tcp_no_metrics_save=1 net.ipv4.ip_local_port_range="10000 60000"
	done
	large_file "$www/large"
	# For programs that hold more connections than one address has ports, see load.c.
	for node in {11..19}; do
		ip -n client addr add "${client_address%.*}.$node/$prefix" dev eth0
	done
	head -c 300 /dev/urandom | base64 -w 0 | head -c 300 >"$www/small"
	service_address_up a
	for node in a b; do
		nginx_up "$node"
	done
	variant=absent
	port=80
}

# large_file PATH: 64 MB of which no two parts are the same. All of it random would take longer.
large_file() {
	local part
	head -c 1M /dev/urandom >"$work/part"
	for part in {1..64}; do
		cat "$work/part"
		echo "$part"
	done >"$1"
}

# use VARIANT: absent, empty (without the module, but with chains of nftables without a rule where its hooks
# are: what any hook costs), unused (the module is there, but for another port) or protected.
use() {
	[ "$variant" != empty ] || on a nft delete table inet empty
	if has_module "$1"; then
		has_module "$variant" || module_and_address_up
	elif has_module "$variant"; then
		module_down
	fi
	[ "$1" != empty ] || empty_chains
	variant=$1
	port=80
	[ "$variant" != unused ] || port=81
}

has_module() { [ "$1" = unused ] || [ "$1" = protected ]; }

module_and_address_up() {
	module_up
	service_address_up b
	need_protection
}

empty_chains() {
	on a nft "add table inet empty
		add chain inet empty input { type filter hook input priority 150; }
		add chain inet empty output { type filter hook output priority 150; }"
}

module_down() {
	ip -n b addr del "$service_address/$host_prefix" dev eth0
	need 30 unload_module
}

# channel_counters: what node a's end of the channel has carried.
channel_counters() {
	local what
	for what in {tx,rx}_{bytes,packets}; do
		printf -- '-f channel_%s=%s/a/class/net/eth1/statistics/%s\n' "$what" "$sysfs_mounts" "$what"
	done
}

# counted: how many connections node a has found to be protected so far, and how many not.
counted() {
	printf '%s %s\n' "$(get a stats/connections_protected)" \
		$(($(get a stats/connections_unprotected) + $(get a stats/connections_unnoted)))
}

# is_as_named WORKLOAD PROTECTED OTHERS: what was measured since these were counted is what its variant
# says. A handover is refused when a connection is not protected, and ends their protection.
is_as_named() {
	local now
	read -ra now <<<"$(counted)"
	case $variant/$1 in
	*/handover) return ;;
	protected/idle | unused/*) is "${now[*]}" "$2 $3" ;;
	*) [ "${now[0]}" -gt "$2" ] && is "${now[1]}" "$3" ;;
	esac || {
		tap_result "not ok" "$variant: $1: connections are as protected as it says" \
			"before $2, not $3; after ${now[0]}, not ${now[1]}"
		exit 1
	}
}

# only_held: the connections of the workload before have been forgotten. Of an upload that costs as much as
# some hundreds of requests, and it takes up to a second until it is done.
only_held() {
	reads a limits/connections "$held" && reads b limits/connections "$held"
}

# measure WORKLOAD ARGUMENT...: see load.c; one figure.
measure() {
	local before=()
	if has_module "$variant"; then
		[ "$1" = handover ] || need 20 only_held
		read -ra before <<<"$(counted)"
	fi
	# shellcheck disable=SC2046 # words
	on client "${load_runner[@]}" "$load" $(channel_counters) "${extra_counters[@]}" "$service_address" "$port" "$@" \
		>"$work/figure" 2>"$work/failure" || {
		tap_result "not ok" "$variant: $*"
		tap_note "$(cat "$work/failure")"
		exit 1
	}
	tell_figure "$work/figure" "$@"
	[ "$1" != upload ] || is_stored "$2"
	! has_module "$variant" || is_as_named "$1" "${before[@]}"
}

# tell_figure FILE [WORKLOAD ARGUMENT...]: with what it was measured with.
tell_figure() {
	sed -n "s/^figure {/&\"pass\": \"$pass\", \"variant\": \"$variant\", \"held\": $held, \"parallel\": ${5:-1}, /p" "$1"
}
extra_counters=()

holder_is_ready() {
	grep -q '^ready$' "$work/holder.log"
}

# hold NUMBER [EACH]: so many idle connections, of which one of each EACH has begun to ask; release: all
# get one more answer, and end. What repair_pass() tells its program is not for this one.
hold() {
	mkfifo "$work/holder"
	nsenter --net=/run/netns/client "$load" "$service_address" "$port" hold "$www/small" "$1" "${2:-0}" \
		<"$work/holder" >"$work/holder.log" 2>&1 8>&- &
	holder=$!
	exec 7>"$work/holder"
	need 600 holder_is_ready
	held=$1
}

release() {
	exec 7>&-
	wait "$holder" || {
		tap_result "not ok" "the connections that idled go on: $(tail -n 1 "$work/holder.log")"
		exit 1
	}
	rm "$work/holder"
	held=0
}

# The workloads. Those that are "alone" have one connection, or one at a time: for the latency.
measure_download() { measure download "$www/large" 2; }
measure_upload() { measure upload "$www/large" 1; }
measure_requests() { measure requests "$www/small" 3000 16; }
measure_connects() { measure connects "$www/small" 1000 16; }
measure_requests_alone() { measure requests "$www/small" 1000 1; }
measure_connects_alone() { measure connects "$www/small" 500 1; }
measure_idle() { measure idle 50000; }

# measure_handover: of so many connections, of which a tenth waits for the rest of a request.
measure_handover() {
	hold "$moved" 10
	need 60 at_least b services/web/connections "$moved"
	need 60 at_least a stats/rests $((moved * 9 / 10))
	measure handover "$(sysfs a services/web/handover)" "$(sysfs b services/web/takeover/restored)" \
		"$moved"
	release
}

# measure_takeover [NUMBER RATE BYTES]: so many downloads, each over a line of its own, go on at node b when each
# has so many bytes. Handed over: what follows is what follows a death, without the silence before it.
measure_takeover() {
	local number=${1:-100} rate=${2:-250kbit} bytes=${3:-30000} node receivers
	for node in a b; do
		tc -n "$node" qdisc replace dev eth0 root fq maxrate "$rate"
	done
	rm -f "$work/stop"
	nsenter --net=/run/netns/client python3 "$here/programs/receivers.py" --address "$service_address" \
		--path /large --file "$www/large" --number "$number" --bytes "$bytes" --folder "$work" \
		>"$work/receivers.log" 2>&1 &
	receivers=$!
	need 60 grep -q '^ready$' "$work/receivers.log"
	need 20 reads b services/web/takeover_ready 1
	extra_counters=(-f "absorbed=$(sysfs b services/web/takeover/bytes_absorbed)")
	measure handover "$(sysfs a services/web/handover)" "$(sysfs b services/web/takeover/restored)" "$number"
	extra_counters=()
	touch "$work/stop"
	wait "$receivers" || {
		tap_result "not ok" "the downloads go on: $(tail -n 1 "$work/receivers.log")"
		exit 1
	}
	for node in a b; do
		tc -n "$node" qdisc del dev eth0 root
	done
}

# is_stored FILE: the upload has arrived, byte for byte.
is_stored() {
	cmp -s "$1" "$work/nginx-a/store/${1##*/}" || {
		tap_result "not ok" "$variant: the upload is stored as it was"
		exit 1
	}
	rm "$work/nginx-a/store/${1##*/}"
}
