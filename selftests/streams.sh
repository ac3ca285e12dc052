# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
# shellcheck disable=SC2154,SC2034 # variables of the files sourced before, and for those after
#
# Tests that steer connections instead of serving files: programs/stream_server.py on both nodes in
# place of nginx, and one of programs/*_client.py. Sourced after topology.sh and before node.sh, as
# the protected port is another one: that of nginx goes unprotected.

service_port=8000
# Clients and servers wait for files here.
steps=$work/steps
mkdir -p "$steps"
streams=$here/programs

# step NAME: lets go on who waits for it.
step() {
	: >"$steps/$1"
}

# streams_up LISTENER...: the servers, PORT[:BUFFER], and then the cluster.
streams_up() {
	rm -f "$steps"/*
	listeners=("$@")
	cluster_up
	local node
	for node in a b; do
		stream_server_up "$node"
	done
}

# stream_server_up NODE
stream_server_up() {
	nsenter --net="/run/netns/$1" python3 "$streams/stream_server.py" --store "$work/store-$1" \
		--gates "$steps" --family "$family" "${listeners[@]}" >"$work/server-$1.log" 2>&1 &
	need 30 listens "$1" "${listeners[@]%:*}"
}

# streams_start PROGRAM [OPTION...]: runs its connections until all are where they are to be.
streams_start() {
	rm -f "$work/streams.log"
	nsenter --net=/run/netns/client python3 "$streams/$1" --address "$service_address" \
		--port "$service_port" --store "$work/store-b" --steps "$steps" "${@:2}" \
		>"$work/streams.log" 2>&1 &
	streams_pid=$!
	wait_for 60 streams_said_something
	need 1 streams_are_ready
}

# streams_said_something: that they are ready, or nothing more.
streams_said_something() {
	streams_are_ready || ! kill -0 "$streams_pid" 2>/dev/null
}

streams_are_ready() {
	grep -q '^ready$' "$work/streams.log" || {
		tail -n 5 "$work/streams.log"
		return 1
	}
}

# streams_wait: the exit code goes to streams_code.
streams_wait() {
	streams_code=0
	wait "$streams_pid" || streams_code=$?
	grep -E '^(#|failed)|Error' "$work/streams.log" | sed 's/^#* */# /' || true
}

# restored NUMBER: so many are with the other node.
restored() {
	reads b stats/connections_restored "$1"
}

# persisting NAMESPACE FILTER: how many sockets stand before a window that is closed.
persisting() {
	on "$1" ss -Htno "$2" | grep -c 'timer:(persist' || true
}
