#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Events: whoever listens hears, in order and without a gap, of the loss and the return of the peer,
# of limits, and of a takeover with its totals; only of its own net namespace; is told when it has
# missed something, and when the module is gone.
#
# Fails if an event is missing, doubled or out of order, if a gap is not noticed, or if a listener
# outlives the module.

. "$(dirname "$0")/lib.sh"
. "$here/topology.sh"
. "$here/node.sh"
. "$here/client.sh"

# Enough for a slow machine: the download has to last until the node dies.
size=$((40 << 20))
declare -A listeners

# listen NAME NAMESPACE [OPTION...]: in the background, as an operator does it; into $work/NAME.
listen() {
	local name=$1 namespace=$2
	shift 2
	ip netns exec "$namespace" "$top/scripts/tcpfo-events" --json "$@" >"$work/$name" 2>&1 &
	listeners[$name]=$!
	need 20 grep -q present "$work/$name"
}

# ends NAME CODE: a listener has ended with that exit code.
ends() {
	local code=0
	wait "${listeners[$1]}" || code=$?
	is "$code" "$2"
}

# mark NAME: what it has heard so far does not count any more.
declare -A heard_before
mark() {
	heard_before[$1]=$(wc -l <"$work/$1")
}

# hears NAME EXPRESSION...: events come for which the Python expressions are true, in that order; an
# event's fields are variables in them.
hears() {
	wait_for 30 heard "$@" || {
		tail -n "+$((${heard_before[$1]:-0} + 1))" "$work/$1"
		return 1
	}
}

heard() {
	python3 - "$work/$1" "${heard_before[$1]:-0}" "${@:2}" <<-'END'
		import collections, json, sys
		path, before, *wanted = sys.argv[1:]
		# Not the line that is being written just now.
		lines = open(path).read().split("\n")[int(before):-1]
		for line in lines:
		    event = collections.defaultdict(str, json.loads(line))
		    if wanted and eval(f"({wanted[0]})", {}, event):
		        del wanted[0]
		sys.exit(f"not heard: {wanted}" if wanted else 0)
	END
}

# numbered NAME: there is no gap in the numbers, nor in the times, nor did a reader complain.
numbered() {
	python3 - "$work/$1" <<-'END'
		import json, sys
		events = [json.loads(line) for line in open(sys.argv[1])]
		begin, *events = [event for event in events if event["event"] != "gone"]
		numbers = [event["sequence"] for event in events]
		assert begin["event"] == "present"
		assert numbers == list(range(begin["sequence"] + 1, begin["sequence"] + 1 + len(events)))
		times = [event["time_us"] for event in events]
		assert times == sorted(times) and all(times)
		assert numbers
	END
}

unload_module
check "without the module there is nothing to listen to" is \
	"$(code_of "$top/scripts/tcpfo-events")" 3

random_file file "$size"
random_file small 1000
cluster_up
listen a a
listen b b
listen client client
check "a listener begins with how things stand" hears a \
	'event == "present" and channel == "up" and services["web"]["state"] == "active"
	 and services["web"]["protected"] and services["web"]["epoch"] == 1'
check "so does one of the other node" hears b \
	'event == "present" and services["web"]["takeover_ready"]'
ip netns exec a "$top/scripts/tcpfo-events" --once >"$work/once"
check "people can read it" grep -q 'web: active, epoch 1, protected' "$work/once"

# The peer, lost and back.
mark a
cut_channel b
check "the peer falls silent" hears a 'event == "peer_silent" and silence_ms >= 400'
# That comes first if the questions who has the address take their time.
check "and protects no longer" hears a \
	'event == "unprotected" and service == "web" and reason == "the peer is silent"'
mend_channel b
check "and is back" hears a \
	'event in ("peer_heard", "peer_up")' \
	'event == "protected" and service == "web"'
mark a
put b channel/enabled 0
check "a peer that hangs up is down" hears a \
	'event == "peer_down"' \
	'event == "unprotected" and reason == "no session with the peer"'
put b channel/enabled 1
check "and up again" hears a 'event == "peer_up" and session >= 2' 'event == "protected"'
need 30 reads b services/web/takeover_ready 1

# A service that the peer does not have comes and goes.
mark a
service_up a primary mail 8080
check "a service begins" hears a 'service == "mail" and state == "active"' \
	'service == "mail" and event == "unprotected" and reason == "the peer does not stand by"'
put a services/mail/role off
check "and ends" hears a 'service == "mail" and state == "off"'

# A limit.
mark a
put a limits/max_connections 1
download_start file --limit-rate 4M
need 60 has_bytes "$work/file" $((size / 8))
check "one connection too many is served" is \
	"$(code_of on client curl -s -o "$work/small" "$url/small")" 0
check "and told of" hears a \
	'event == "limit" and reason == "max_connections" and count >= 1 and service == ""'
put a limits/max_connections 65536

# A takeover.
mark a
mark b
kill_node a
check "a takeover begins, and ends" hears b \
	'event == "takeover_began" and service == "web" and silence_ms >= 400' \
	'event == "state" and service == "web" and state == "active" and epoch == 2' \
	'event == "unprotected" and service == "web"' \
	'event == "takeover_ended" and restored == 1 and failed == 0'
check "the peer's silence comes before it" hears b 'event == "peer_silent"' \
	'event == "takeover_began"' 'event == "peer_down"'
check "its totals are those of the report" heard b \
	"event == 'takeover_ended' and bytes_absorbed == $(get b services/web/takeover/bytes_absorbed)"
curl_wait
check "curl ends well" is "$curl_code" 0
check "every byte is right" cmp "$www/file" "$work/file"
mark b
mend_service a
mend_channel a
check "the one that was dead stands down" hears a \
	'event == "state" and service == "web" and state == "standby" and reason != ""'
check "and stands by" hears b 'event == "peer_up"' 'event == "protected" and service == "web"'
check "a node hears nothing of the other's takeover" fails heard a 'event == "takeover_began"'

# A listener that is too slow.
listen slow a --receive-buffer 4096
mark slow
kill -STOP "${listeners[slow]}"
for ((i = 0; i < 60; i++)); do
	put a services/mail/role backup
	need 10 reads a services/mail/state standby
	put a services/mail/role off
done
kill -CONT "${listeners[slow]}"
check "who has missed something is told so, up to the last event" hears slow \
	'event == "lost" and first <= last' \
	"event == 'present' and sequence >= $(get a events/sequence)
	 and services['mail']['state'] == 'off'"
mark slow
put a services/mail/role backup
check "and goes on listening" hears slow 'service == "mail" and state == "standby"'
check "who is quick enough has missed nothing" fails grep -q '"lost"' "$work/a"
kill "${listeners[slow]}"
check "a listener can be ended" ends slow 0

# The end.
mark a
check "the module is removed from under its listeners" wait_for 30 unload_module
check "they hear of all that ends with it" hears a \
	'service == "web" and state == "off"' 'event == "peer_down"' 'event == "gone"'
check "and end" ends a 3
check "all of them" ends b 3
check "also those who had nothing to hear" ends client 3
check "another namespace has heard nothing" is \
	"$(python3 -c 'import json,sys; print(*(json.loads(l)["event"] for l in sys.stdin))' \
		<"$work/client")" "present gone"
for name in a b; do
	check "node $name's events are numbered without a gap" numbered "$name"
done
finish
