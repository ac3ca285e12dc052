#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Clients whose TCP is not Linux's: connections of all kinds by lwIP, as small devices have it, and a
# download and an upload by slirp4netns, whose TCP is that of 4.4BSD.
# slirp4netns opens connections over IPv4 only.
#
# Neither knows timestamps or selective acknowledgements; lwIP counts time in half seconds, and sends
# one segment at a time after a loss. Both speak through TAP devices of their own on the service
# network.
#
# Fails if one connection gets a wrong byte, a reset or no answer, if one was not carried on, or if
# what came to the switch, on its way to these clients, shows anything of it.

. "$(dirname "$0")/lib.sh"
. "$here/topology.sh"
. "$here/node.sh"
. "$here/client.sh"
. "$here/peers.sh"

size=$((4 << 20))
rate=400k
lwip_size=$((1 << 20))
# Each kind once.
lwip_connections=7
# And how many by slirp4netns.
if [ "$family" = 6 ]; then
	lwip_address=fd77::20
	bsd=0
else
	lwip_address=10.77.0.20
	bsd=2
fi
# Debian's liblwip has buffers for 592 bytes into which it writes whole frames: no larger ones may come.
lwip_mtu=576
# slirp4netns has a network of its own, in which it is number 2.
slirp_network=10.77.1
slirp_port=8080
connections=$((lwip_connections + bsd))

# tap_up NAME: a device of the service network, the other end of which is a program. It gets what is
# sent to it and to all, and nothing that is meant for a node that has died.
tap_up() {
	ip -n switch tuntap add "$1" mode tap
	ip -n switch link set "$1" master br0 up
	ip -n switch link set "$1" type bridge_slave flood off
}

# lwip_up: the nodes send it small segments, and ask it for such.
lwip_up() {
	tap_up lwip
	for node in a b; do
		ip -n "$node" route add "$lwip_address/$host_prefix" dev eth0 mtu "$lwip_mtu"
	done
}

# slirp_up: connections to this port of the client's own host become connections of slirp4netns to the
# service.
slirp_up() {
	local api=$work/slirp.api
	tap_up slirp
	for node in a b; do
		ip -n "$node" route add "$slirp_network.0/24" dev eth0
	done
	ip -n client addr add 127.0.0.1/8 dev lo 2>/dev/null || true
	nsenter --net=/run/netns/client slirp4netns --netns-type=path --cidr="$slirp_network.0/24" \
		--api-socket="$api" /run/netns/switch slirp >"$work/slirp.log" 2>&1 &
	need 20 test -S "$api"
	echo '{"execute": "add_hostfwd", "arguments": {"proto": "tcp", "host_addr": "127.0.0.1",
		"host_port": '"$slirp_port"', "guest_addr": "'"$service_address"'", "guest_port": 80}}' |
		tr -d '\n' | socat -t 5 - "UNIX-CONNECT:$api" >"$work/slirp.answer"
	need 1 grep -q '"id"' "$work/slirp.answer"
}

bsd_transfers_start() {
	local transfer=(curl --silent --show-error --fail --max-time "$max_time" --limit-rate "$rate")
	url=http://127.0.0.1:$slirp_port
	peer_start upload "${transfer[@]}" --upload-file "$www/file" "$url/store/file"
	need 60 stored a $((size / 20))
	peer_start download "${transfer[@]}" --output "$work/file" "$url/file"
	need 60 has_bytes "$work/file" $((size / 6))
}

bsd_transfers_end_well() {
	check "BSD: the node died within the download" peer_runs download
	check "BSD: the node died within the upload" peer_runs upload
	check "BSD: the download ends well" peer_ends_well download
	check "BSD: every byte is right" cmp "$www/file" "$work/file"
	check "BSD: the upload ends well" peer_ends_well upload
	check "BSD: every byte was stored" cmp "$www/file" "$work/nginx-b/store/file"
}

seed
random_file file "$size"
random_file lwip "$lwip_size"
modprobe tun
cluster_up
# lwIP takes the time for which it was idle for that of a round trip, and sends again after more than
# that.
put b services/web/hold_timeout_ms 60000
lwip_up
[ "$bsd" -eq 0 ] || slirp_up
switch_capture_start

nsenter --net=/run/netns/switch python3 "$here/programs/lwip_clients.py" lwip "$lwip_address" \
	"$prefix" --address "$service_address" --port "$service_port" --file "$www/lwip" \
	--store "$work/nginx-b/store" --connections "$lwip_connections" --go "$work/go" \
	--timeout "$max_time" >"$work/clients.log" 2>&1 &
lwip=$!
need 120 all_are_under_way
[ "$bsd" -eq 0 ] || bsd_transfers_start
check "all connections are protected" reads a stats/connections_protected "$connections"
check "node b knows of all of them" reads b services/web/connections "$connections"
kill_node a
touch "$work/go"
[ "$bsd" -eq 0 ] || bsd_transfers_end_well
code=0
wait "$lwip" || code=$?
[ "$bsd" -ne 0 ] || cell BSD absent "slirp4netns opens connections over IPv4 only"
capture_stop

grep '^# ' "$work/clients.log" || true
check "lwIP: all connections end well" is "$code" 0
grep '^failed' "$work/clients.log" | sed 's/^/# /' || true
check "all were restored" reads b stats/connections_restored "$connections"
check "none failed" reads b stats/connections_failed 0
check "no client saw anything of it" wire_is_clean
tell_wire
finish
