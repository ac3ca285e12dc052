#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# A takeover does not depend on what the listener is like: SO_REUSEPORT groups, TCP_DEFER_ACCEPT, a
# backlog of 1 with a server that is slow to accept, also when a full accept queue is answered with a
# reset (tcp_abort_on_overflow), and a server that comes only after the takeover. All at once,
# several connections each, some of which have not said anything before.
#
# And where it cannot be had that is said: connections made of SYN cookies on node a are unprotected
# from the beginning, and those for which node b has nothing but cookies are reset and counted.
#
# Fails if one connection gets a wrong byte or a reset, or if what each of these is meant to provoke
# did not happen at all (see the counters of the stack); or if a connection that cannot be carried on
# is left standing without an end.

. "$(dirname "$0")/lib.sh"
. "$here/topology.sh"
. "$here/node.sh"
. "$here/client.sh"

size=$((768 << 10))
# To each service, and how many of them say nothing at first.
connections=6
silent=2
hold_ms=2000

# Port 80, of cluster_up, is an ordinary one.
services=(reuseport deferred slow late)
declare -A port=([reuseport]=83 [deferred]=84 [slow]=85 [late]=86)
workers=3

# listeners_up NODE PAUSE: two more servers; PAUSE is what the slow one takes after each accept().
listeners_up() {
	local dir=$work/listeners-$1
	mkdir -p "$dir"
	cat >"$dir/conf" <<-END
		user root;
		worker_processes $workers;
		pid $dir/pid;
		error_log $dir/error.log info;
		events { worker_connections 512; }
		http {
			access_log off;
			send_timeout 600s;
			client_header_timeout 600s;
			root $www;
			server { $(nginx_listens "${port[reuseport]}" reuseport) }
			server { $(nginx_listens "${port[deferred]}" deferred) }
			# The client waits here, not the server.
			server { $(nginx_listens 87) location /drip/ { limit_rate 64k; alias $www/; } }
		}
	END
	on "$1" nginx -e "$dir/error.log" -c "$dir/conf"
	server_up "$1" slow --backlog 1 --pause "$2"
	need 30 listens "$1" "${port[slow]}"
}

# server_up NODE SERVICE [OPTION...]
server_up() {
	nsenter --net="/run/netns/$1" python3 "$here/programs/server.py" --family "$family" \
		--port "${port[$2]}" --file "$www/file" "${@:3}" 2>"$work/$2-$1.log" &
}

# more_services [ONE...]: each with its port, and ready.
more_services() {
	local name
	for name in "$@"; do
		service_up a primary "$name" "${port[$name]}"
		service_up b backup "$name" "${port[$name]}"
	done
	for name in "$@"; do
		need 30 reads b "services/$name/takeover_ready" 1
	done
}

# downloads_start PORT... [-- OPTION...]
downloads_start() {
	local ports=()
	while [ $# -gt 0 ] && [ "$1" != -- ]; do
		ports+=("$1")
		shift
	done
	rm -f "$work/go" "$work/downloads.log"
	nsenter --net=/run/netns/client python3 "$here/programs/downloads.py" \
		--address "$service_address" --port "${ports[@]}" --file "$www/file" --go "$work/go" \
		"${@:2}" >"$work/downloads.log" 2>&1 &
	downloads=$!
	need 60 grep -q '^ready$' "$work/downloads.log"
}

# downloads_wait: says what has become of them.
downloads_wait() {
	wait "$downloads" || true
	grep -v '^ready$' "$work/downloads.log" | sed 's/^/# /'
}

# ended_well PORT: all of its connections did.
ended_well() {
	grep '^failed' "$work/downloads.log" | head -n 5
	grep -q "^result $1: [1-9][0-9]* ended well, 0 did not\$" "$work/downloads.log"
}

# see_the_end FILE NUMBER MILLISECONDS: so many were reset, none later than that after the takeover.
see_the_end() {
	local good
	grep '^failed' "$1"
	good=$(awk -v latest="$3" \
		'/^failed.* ConnectionResetError / && $(NF - 1) <= latest { n++ } END { print n + 0 }' "$1")
	is "$good" "$2"
}

# stack_counts NODE COUNTER: at least one.
stack_counts() {
	local count
	count=$(stack "$1" "$2")
	echo "$2 on node $1: ${count:-no such counter}"
	[ "${count:-0}" -gt 0 ]
}

# workers_are_busy NUMBER: so many processes of node b have connections of the reuseport group.
workers_are_busy() {
	[ "$(on b ss -tnpH state established "sport = :${port[reuseport]}" | grep -o 'pid=[0-9]*' |
		sort -u | wc -l)" -ge "$1" ]
}

several_workers_are_busy() {
	wait_for 5 workers_are_busy 2 || {
		on b ss -tnpH "sport = :${port[reuseport]}"
		return 1
	}
}

# everything_survives WHAT: one takeover of all services, and what WHAT provoked on node b.
everything_survives() {
	local what=$1 name began all=$((connections * ${#services[@]})) wire=()
	capture=$work/$what.pcap
	capture_start
	downloads_start "${port[@]}" -- --connections "$connections" --silent "$silent" --timeout 40
	check "$what: all are protected" reads a stats/connections_protected "$all"
	kill_node a
	touch "$work/go"
	need 30 taken_over
	began=$SECONDS
	check "$what: several workers have connections" several_workers_are_busy
	# It is what is being tested, not a wait.
	sleep 1.5
	touch "$work/late"
	need 10 listens b "${port[late]}"
	tap_note "$what: the late server listens $((SECONDS - began)) s after the takeover"
	downloads_wait
	capture_stop
	for name in "${services[@]}"; do
		check "$name, $what: all end well, byte by byte" ended_well "${port[$name]}"
		check "$name, $what: all were restored" \
			wait_for 5 reads b "services/$name/takeover/restored" "$connections"
		wire+=(--service "$service_host:${port[$name]}")
	done
	check "$what: all were restored" reads b stats/connections_restored "$all"
	check "$what: none failed" reads b stats/connections_failed 0
	check "$what: the accept queue was full" stack_counts b TcpExtListenOverflows
	check "$what: acknowledgements without data were ignored" stack_counts b TcpExtTCPDeferAcceptDrop
	check "$what: no client saw anything of it" wire_is_clean "${wire[@]}"
	tell_wire
}

round() {
	cluster_up
	listeners_up a 0
	listeners_up b 0.2
	rm -f "$work/late"
	server_up a late
	# Ready to run, as to start a program takes an emulated machine a while.
	server_up b late --wait-for "$work/late"
	need 30 listens a "${port[late]}"
	more_services "${services[@]}"
}

random_file file "$size"

round
everything_survives dropping

round
on b sysctl -qw net.ipv4.tcp_abort_on_overflow=1
everything_survives resetting

# SYN cookies. Node a knows a connection then only when it first sends.
services=(plain drip)
port=([reuseport]=83 [deferred]=84 [slow]=85 [plain]=80 [drip]=87)
cluster_up
listeners_up a 0
listeners_up b 0
more_services drip
on a sysctl -qw net.ipv4.tcp_syncookies=2
downloads_start 80 -- --connections 5
check "cookies: node a sends them" stack_counts a TcpExtSyncookiesRecv
check "cookies: no connection is protected" reads a stats/connections_protected 0
check "cookies: each is counted as unlogged" reads a stats/unprotected_unlogged 5
check "cookies: node b is not ready" wait_for 10 reads b services/web/takeover_ready 0
downloads_wait
check "cookies: all end well without a takeover" ended_well 80
check "cookies: node b is ready again" wait_for 60 reads b services/web/takeover_ready 1

# Node b cannot make sockets of cookies: it has to give up, where the client sees it.
on a sysctl -qw net.ipv4.tcp_syncookies=1
on b sysctl -qw net.ipv4.tcp_syncookies=2
put b services/web/hold_timeout_ms "$hold_ms"
put b services/drip/hold_timeout_ms "$hold_ms"
downloads_start 80 -- --connections 5 --silent 5 --timeout 30
speaking=$downloads
speaking_log=$work/speaking.log
mv "$work/downloads.log" "$speaking_log"
# These have taken all that has come, and only wait.
downloads_start 87 -- --connections 3 --path /drip/file --rate 10000000 --timeout 30
check "cookies: all are protected" reads a stats/connections_protected 8
kill_node a
touch "$work/go"
need 30 taken_over
check "cookies: all are counted as failed" wait_for 10 reads b stats/connections_failed 8
check "cookies: none is restored" reads b stats/connections_restored 0
downloads_wait
check "cookies: who waits sees the end in time" \
	see_the_end "$work/downloads.log" 3 $((hold_ms + 2000))
mv "$speaking_log" "$work/downloads.log"
downloads=$speaking
downloads_wait
# The client's timer, which doubles, says when it speaks again.
check "cookies: who speaks sees the end in time" \
	see_the_end "$work/downloads.log" 5 $((hold_ms * 2 + 4000))
finish
