#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# A handover of which the standby node does not hear, as the channel's session ends and a new one begins
# while the other node still waits. That one speaks again, and a connection on which nobody has said
# anything all the while is given to the standby node anew.
#
# Fails if the standby node does not have it afterwards, or cannot carry it on.

. "$(dirname "$0")/lib.sh"
. "$here/topology.sh"
. "$here/node.sh"
. "$here/client.sh"

# breaks_off: node a asks node b to speak, which does not hear it before the connection is gone. False if
# node a had given up before the next session began.
breaks_off() {
	local sessions
	sessions=$(get a stats/sessions)
	# The next connection may begin.
	on b nft -f - <<-END
		table ip deaf {
			chain in {
				type filter hook input priority 0
				ip saddr ${channel_address[a]} tcp flags & syn == 0 drop
			}
		}
	END
	put a services/web/handover 1 2>"$work/error" &
	asked=$!
	need 5 reads a services/web/state leaving
	on b ss -HtK state established "dst ${channel_address[a]}"
	on b nft delete table ip deaf
	need 20 at_least a stats/sessions $((sessions + 1))
	reads a services/web/state leaving
}

# breaks_off_in_time: on a busy host it may take some attempts.
breaks_off_in_time() {
	local attempt
	for attempt in {1..5}; do
		echo "attempt $attempt"
		! breaks_off || return 0
		wait "$asked" || true
		need 20 reads a services/web/state active
		need 30 reads b services/web/connections 1
	done
	return 1
}

random_file answer 100000
cluster_up
# Neither takes the other one for dead meanwhile.
for node in a b; do
	put "$node" channel/peer_timeout_ms 5000
done
capture_start
nsenter --net=/run/netns/client python3 "$here/programs/late_request.py" "$service_address" \
	"$service_port" /answer "$www/answer" "$work/go" >"$work/request.log" 2>&1 &
client_pid=$!
need 20 grep -q connected "$work/request.log"
need 20 reads b services/web/connections 1

check "a new session begins while node a waits" breaks_off_in_time
check "the handover is none" fails wait "$asked"
check "it says why" grep -q 'timed out' "$work/error"
check "node a speaks again" reads a services/web/state active
check "node b is given the connection again" wait_for 20 reads b services/web/connections 1
check "node b is ready to take over" wait_for 20 reads b services/web/takeover_ready 1
for node in a b; do
	put "$node" channel/peer_timeout_ms 500
done
kill_node a
need 20 taken_over
touch "$work/go"
check "the client has its answer" wait "$client_pid"
check "its connection was carried on" reads b stats/connections_restored 1
check "no connection failed" reads b stats/connections_failed 0
capture_stop
check "the client saw nothing of it" wire_is_clean --takeovers 1
tell_wire
finish
