#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# What is not supported is said to be unprotected, and works as without the module: MPTCP, data in
# the SYN (TCP Fast Open), TCP-MD5, TCP-AO, urgent data. An MPTCP client of a server without it is one of TCP.
# Nobody dies here.
#
# Fails if a connection of one of these gets a wrong byte, a reset or no answer, or if it is not counted
# as unprotected, or as unprotected for another reason.

. "$(dirname "$0")/lib.sh"
. "$here/topology.sh"
. "$here/node.sh"
. "$here/client.sh"

# server_up PORT [OPTION...]: on node a.
server_up() {
	nsenter --net=/run/netns/a python3 "$here/programs/server.py" --family "$family" --port "$1" \
		--file "$www/file" "${@:2}" 2>"$work/server-$1.log" &
	need 30 listens a "$1"
}

# download NAME KIND SERVICE COUNTER [HOST COUNTER]: one connection that is slow enough to be looked at,
# which is counted in the module's COUNTER, and in one of a host's stack.
download() {
	local name=$1 kind=$2 service=$3 counter=$4 code=0 before stack=("${@:5}") stack_before=0 process
	before=$(get a "stats/$counter")
	[ $# -eq 4 ] || stack_before=$(stack "${stack[@]}")
	rm -f "$work/$kind.log"
	nsenter --net=/run/netns/client python3 "$here/programs/downloads.py" --kind "$kind" \
		--address "$service_address" --port "${port[$service]}" --file "$www/file" --rate 1000000 \
		--go "$work/never" --timeout 30 >"$work/$kind.log" 2>&1 &
	process=$!
	need 30 grep -q '^ready$' "$work/$kind.log"
	# More than once if its SYN comes again.
	check "$name: it is counted in $counter" wait_for 5 at_least a "stats/$counter" $((before + 1))
	if [ "$counter" != connections_protected ]; then
		check "$name: node b is not ready" wait_for 5 reads b "services/$service/takeover_ready" 0
	fi
	wait "$process" || code=$?
	[ $# -eq 4 ] || check "$name: it was one" fails is "$(stack "${stack[@]}")" "$stack_before"
	check "$name: it ends well, byte by byte" is "$code $(grep ^failed "$work/$kind.log")" "0 "
}

# Port 80, of cluster_up, is an ordinary one.
declare -A port=([web]=80 [mptcp]=83 [fastopen]=84 [md5]=85 [ao]=86 [ktls]=87 [urgent]=88)
random_file file $((1 << 20))
cluster_up
server_up "${port[mptcp]}" --mptcp
server_up "${port[fastopen]}" --fastopen
server_up "${port[md5]}" --sign-for "$client_address" --sign-by md5
server_up "${port[ao]}" --sign-for "$client_address" --sign-by ao
server_up "${port[ktls]}" --ktls
# nginx may wait for news with the bytes behind an urgent one unread.
server_up "${port[urgent]}"
for service in mptcp fastopen md5 ao ktls urgent; do
	service_up a primary "$service" "${port[$service]}"
	service_up b backup "$service" "${port[$service]}"
done
for service in mptcp fastopen md5 ao ktls urgent; do
	need 30 reads b "services/$service/takeover_ready" 1
done
on a sysctl -qw net.ipv4.tcp_fastopen=3
on client sysctl -qw net.ipv4.tcp_fastopen=3

download MPTCP mptcp mptcp unprotected_special a MPTcpExtMPCapableACKRX
cell MPTCP unprotected "several connections of TCP are one stream"
# The server does not speak it.
download "MPTCP client" mptcp web connections_protected client MPTcpExtMPCapableSYNTX
# The first one asks for a cookie, as any connection may.
download "TFO, cookie asked for" fastopen fastopen connections_protected \
	a TcpExtTCPFastOpenCookieReqd
download TFO fastopen fastopen unprotected_unlogged a TcpExtTCPFastOpenPassive
cell TFO unprotected "data in the SYN is not logged"
download TCP-MD5 md5 md5 unprotected_special
cell TCP-MD5 unprotected "what is signed is not logged"
download TCP-AO ao ao unprotected_special
cell TCP-AO unprotected "what is signed is not logged"
download urgent urgent urgent unprotected_urgent
cell urgent unprotected "its place in the stream is told by a segment, not by the stream"
# Protected as any stream of bytes is, but only here are the keys of the other node's server the same.
download kTLS ktls ktls connections_protected
cell kTLS unprotected "keys are random: the new node's server cannot go on with the old one's"
for service in "${!port[@]}"; do
	check "ready: node b is, again, for $service" \
		wait_for 60 reads b "services/$service/takeover_ready" 1
done
finish
