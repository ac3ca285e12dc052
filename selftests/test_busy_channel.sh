#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# A channel that is slower than what clients upload: there is always more to send, and heartbeats and
# the service's standing leave all the same. The backup stays ready, and no peer is lost (I7, I10).
#
# Fails if whoever sends goes on for as long as there is something.

. "$(dirname "$0")/lib.sh"
. "$here/topology.sh"
. "$here/node.sh"
. "$here/client.sh"

uploads=6
samples=50

# Each client's window is a part of what waits for the channel, and a heartbeat waits behind up to two rounds of
# them, a third of a second each. Nothing is lost on the way, which TCP would wait for. Before there is any socket,
# whose buffers would be large already: so cluster_up comes too early.
narrow_channel() {
	on a sysctl -qw net.ipv4.tcp_rmem="4096 65536 65536" net.ipv4.tcp_wmem="4096 16384 65536"
	tc -n a qdisc add dev eth1 root tbf rate 10mbit burst 16k latency 200ms
}

channel_is_full() {
	tc -n a -s qdisc show dev eth1 | grep -q 'backlog [1-9]'
}

# stays_ready: at each of the samples, a tenth of a second from one to the next.
stays_ready() {
	local sample
	for ((sample = 1; sample <= samples; sample++)); do
		reads b services/web/takeover_ready 1 || return
		sleep 0.1
	done
}

random_file file $((8 << 20))
topology_up
narrow_channel
for node in a b; do
	service_address_up "$node"
	nginx_up "$node"
done
module_up
# A busy host must not be taken for a silent peer.
for node in a b; do
	put "$node" channel/peer_timeout_ms 2000
done
need_protection
losses=$(($(get a stats/peer_losses) + $(get b stats/peer_losses)))

for ((number = 1; number <= uploads; number++)); do
	nsenter --net=/run/netns/client curl -sS --max-time "$max_time" -T "$www/file" -o /dev/null \
		"$url/store/$number" &
done
check "the channel is full" wait_for 20 channel_is_full
check "the backup is ready for all that time" stays_ready
check "and the channel is still full" channel_is_full
check "no peer was lost" \
	is $(($(get a stats/peer_losses) + $(get b stats/peer_losses))) "$losses"
check "all are protected" reads a services/web/unprotected 0
finish
