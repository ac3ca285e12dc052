#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
# shellcheck disable=SC2154 # variables of the files sourced
#
# The benchmark on real machines (make bench BENCH=hw), whose machines are namespaces here, each with a
# sshd, on a network of its own. Fails if it does not refuse what is wrong, leaves a figure out, or leaves
# anything behind: at its end, when it is interrupted, when it is killed.

. "$(dirname "$0")/lib.sh"
# load.c speaks nothing else.
family=4
. "$here/topology.sh"
. "$here/ssh.sh"

json=$work/out/bench-hw/hw.json

# The machines' addresses for ssh, each with a network of its own, in which this end is number 1.
declare -A ssh_address=([client]=10.79.0.2 [a]=10.79.1.2 [b]=10.79.2.2)
export TCPFO_OUT=$work/out MODULE=$module BENCH=hw
export NODE_A=a NODE_B=b CLIENT=client SERVICE=$service_address/$host_prefix
export DEVICE_A=$device DEVICE_B=$device
export CHANNEL_A=${channel_address[a]} CHANNEL_B=${channel_address[b]}
export ROUNDS=1 RUNS=2 CUTS=1 SHORT=1 MODULE_COMMIT=test PORT=8780

# ssh_up: each machine is reached by its name.
ssh_up() {
	local name
	ssh_keys "$work/ssh"
	cleanup_hooks+=(ssh_forget)
	for name in "${!ssh_address[@]}"; do
		ssh_machine "$work/ssh" "$name" "${ssh_address[$name]}"
		ssh_device_up "$name" "${ssh_address[$name]}"
		# Unlike `on`, this has the namespace's own sysfs, and so has all that sshd runs.
		ip netns exec "$name" bash -c ". $here/ssh.sh; sshd_up $work/ssh ${ssh_address[$name]}"
		need 20 ssh -o BatchMode=yes "$name" true
	done
	need 10 nobody_is_logged_in
}

# ssh_device_up NAME ADDRESS: it has that, on a wire of its own from here.
ssh_device_up() {
	ip link add "ssh-$1" type veth peer name eth9 netns "$1"
	ip addr add "${2%.*}.1/24" dev "ssh-$1"
	ip link set "ssh-$1" up
	ip -n "$1" addr add "$2/24" dev eth9
	ip -n "$1" link set eth9 up
}

# nobody_is_logged_in: nor on the way in or out.
nobody_is_logged_in() {
	! pgrep -f '^sshd(-session|-auth)?: [^/]'
}

# state: all that may have been changed, beside the connections.
state() {
	local name
	for name in client a b; do
		ip -4 -n "$name" -o addr
		ip -4 -n "$name" route
		tc -n "$name" qdisc
		on "$name" nft list ruleset
		ip netns pids "$name" | xargs -r ps -o args= -p | sed '/^\[\?sshd/d'
	done
	ls -d /sys/module/tcp_failover /dev/shm/* 2>&1 || true
}

is_restored() {
	state | diff "$work/state" -
}

# refused TEXTS VARIABLE...: with those it ends with 2, says each of the texts, which are divided by
# semicolons, and has changed nothing.
refused() {
	local code=0 text texts
	env "${@:2}" "$top/scripts/bench" >"$work/refused" 2>&1 || code=$?
	cat "$work/refused"
	is "$code" 2 || return
	IFS=';' read -ra texts <<<"$1"
	for text in "${texts[@]}"; do
		grep -F "error: $text" "$work/refused" || return
	done
	is_restored
}

# figures: all are there, and none is absurd.
figures() {
	python3 - "$json" <<-'END'
		import json, sys
		with open(sys.argv[1], encoding="ascii") as file:
		    result = json.load(file)
		for name, workload in result["workloads"].items():
		    for figure, variants in workload.items():
		        for variant in ("absent", "unused", "protected"):
		            assert len(variants[variant]["rounds"]) == 1, (name, figure)
		            assert 0 <= variants[variant]["median"] < 1e7, (name, figure)
		rate = "mb_per_s", "mb_per_s", "per_s", "per_s"
		for name, figure in zip(("download", "upload", "requests", "connects"), rate):
		    assert result["workloads"][name][figure]["protected"]["median"] > 1, name
		assert "connect_p99_us" in result["workloads"]["connects"]
		kinds = [(one["kind"], one["downloads"], one["runs"]) for one in result["takeovers"]]
		assert kinds == [("handover", 1, 2), ("handover", 100, 2), ("cut", 1, 1), ("cut", 100, 1)]
		for one in result["takeovers"]:
		    assert one["pause_ms"]["count"] == one["runs"] * one["downloads"], one
		    assert 0 < one["pause_ms"]["p50"] <= one["pause_ms"]["max"] < 60000, one
		    if one["kind"] == "cut":
		        assert one["pause_ms"]["p50"] > 300 and one["detected_us"]["p50"] > 300000, one
		assert result["failed"] == [], result["failed"]
		assert result["module"]["commit"] == "test" and set(result["kernel"]) == {"a", "b", "client"}
		text = json.dumps(result)
		assert "10.77." not in text and "10.78." not in text
	END
}

# begin CONDITION...: it runs, and has come so far.
begin() {
	# Not ignoring what it is interrupted by, as what is in the background does.
	python3 -c 'import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
os.execv(sys.argv[1], sys.argv[1:])' "$top/scripts/bench" >"$work/begun.log" 2>&1 &
	pid=$!
	wait_for 200 "$@"
}

# serves NODE: it has the address.
serves() {
	ip -n "$1" -o addr show to "$service_address" | grep -q .
}

# ends_by SIGNAL CODE CONDITION...: it ends so, as soon as the condition holds, and everything is as before,
# and no connection is left.
ends_by() {
	local code=0
	begin "${@:3}" || { cat "$work/begun.log"; return 1; }
	kill -"$1" "$pid"
	wait "$pid" || code=$?
	cat "$work/begun.log"
	is "$code" "$2" && wait_for 30 is_restored && wait_for 30 nobody_is_logged_in
}

[ -e "$top/build/bench/load" ] || skip "no build/bench/load"
[ -e "$module" ] || skip "no module at $module"
[ -x /usr/sbin/sshd ] || skip "no sshd"
need 30 unload_module
topology_up
ssh_up
state >"$work/state"

check "what is missing is told one by one" refused "NODE_A is missing;NODE_B is missing;CHANNEL_A is missing" \
	NODE_A= NODE_B= CHANNEL_A=
check "so is what contradicts" \
	refused "NODE_A and NODE_B are both a;SERVICE=$service_address: without;ROUNDS=many;CLIENT=-oX" \
	NODE_B=a SERVICE="$service_address" ROUNDS=many CLIENT=-oX
check "a machine that cannot be reached" refused "b: " NODE_B=nowhere
check "so is what the machines lack" \
	refused "a: ${node_address[a]} is on eth0;b: no device eth7;client: ${node_address[b]} answers" \
	CHANNEL_A="${node_address[a]}" DEVICE_B=eth7 SERVICE="${node_address[b]}/32"
check "killed, it restores everything" ends_by KILL 137 serves a
check "it comes to its end" "$top/scripts/bench"
sed 's/^/# /' "$work/check.log"
check "all figures are there" figures
check "everything is as it was" is_restored
check "no connection is left" wait_for 10 nobody_is_logged_in
check "interrupted, it restores everything" ends_by INT 1 module_is_loaded
finish
