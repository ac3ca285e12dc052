# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
# shellcheck disable=SC2154,SC2034 # variables of the files sourced before, and for those after
#
# What the client does: transfers, and the capture that shows what it saw. Sourced after node.sh.

capture=$work/client.pcap
url=http://$service_host:$service_port
# A client that hangs must not hang the test.
max_time=${TCPFO_MAX_TIME:-150}
# What a client may wait for progress, in milliseconds: far more than a takeover takes, even on a slow
# host.
longest_wait_ms=10000

# random_file NAME BYTES: a file that both servers serve.
random_file() {
	head -c "$2" /dev/urandom >"$www/$1"
}

# all_are_under_way: the connections of clients.py.
all_are_under_way() {
	grep -q '^ready$' "$work/clients.log"
}

# all_end_well PID LOG: waits for a crowd of connections, and tells what its program has seen.
all_end_well() {
	local code=0
	wait "$1" || code=$?
	grep -E '^(#|failed)' "$2" | sed 's/^failed/# failed/'
	check "all connections end well" is "$code" 0
}

capture_listens() {
	[ -s "$capture" ]
}

# What runs in the background is started without `on`: its process is then the program itself.

# What else tcpdump is to be told.
capture_options=()
# Whether all that came before capture_stop is in the capture.
capture_has_its_end=no

# capture_start: headers of all that the client sends and hears, and the beginning of the payload.
capture_start() {
	# The buffer is large: a packet that the capture misses is one that is not checked.
	rm -f "$capture"
	nsenter --net=/run/netns/client tcpdump "${capture_options[@]}" -i eth0 -w "$capture" -U -Z root -s 200 -B 65536 \
		'arp or icmp or icmp6 or tcp' 2>"$work/tcpdump.log" &
	capture_pid=$!
	need 20 capture_listens
}

# switch_capture_start: the same of all that comes into the service network's bridge, whoever the
# clients are, and before their network has lost or delayed anything of the nodes. Not what the switch
# itself sends.
switch_capture_start() {
	nsenter --net=/run/netns/switch tcpdump -i br0 -Q in -w "$capture" -U -Z root -s 200 -B 65536 \
		'arp or icmp or icmp6 or tcp' 2>"$work/tcpdump.log" &
	capture_pid=$!
	need 20 capture_listens
}

# capture_stop: everything seen so far is in the file. tcpdump drops what it has not read yet when it
# is told to end, so a packet with a mark is sent, and waited for; nobody answers it.
capture_stop() {
	local mark=tcpfo-end everybody=${client_address%.*}.255
	[ "$family" != 6 ] || everybody=ff02::1%eth0
	on client ping -q -b -c 1 -W 0.01 -p "$(printf %s "$mark" | od -An -tx1 | tr -d ' \n')" \
		"$everybody" >/dev/null 2>&1 || true
	capture_has_its_end=no
	! wait_for 20 capture_has "$mark" || capture_has_its_end=yes
	kill "$capture_pid"
	wait "$capture_pid" || true
}

capture_has() {
	tail -c 1M "$capture" | grep -a "$1" >/dev/null
}

# capture_is_whole: it has its end, and the kernel dropped nothing of it.
capture_is_whole() {
	[ "$capture_has_its_end" = yes ] || {
		echo "the end of the capture is missing"
		return 1
	}
	grep -q '^0 packets dropped by kernel' "$work/tcpdump.log" || {
		cat "$work/tcpdump.log"
		return 1
	}
}

# wire_is_clean [OPTION...]: the client saw nothing that it must not see. What a capture lacks might be
# just that.
wire_is_clean() {
	# Nothing of an earlier capture may be taken for what this one says.
	: >"$work/wirecheck.txt"
	capture_is_whole || return
	[ -x "$wirecheck" ] || {
		echo "no wirecheck at $wirecheck"
		return 1
	}
	local code=0
	"$wirecheck" --service "$service_host:$service_port" "$@" "$capture" \
		>"$work/wirecheck.txt" || code=$?
	[ "$code" -eq 0 ] || sed -n '/^total:/,$p' "$work/wirecheck.txt" | tail -n 25
	return "$code"
}

# wire_shows_a_reset [OPTION...]: the opposite, and why.
wire_shows_a_reset() {
	wire_is_clean "$@" && return 1
	grep ': reset: ' "$work/wirecheck.txt"
}

# tell_wire: totals and the longest gap, as remarks.
tell_wire() {
	grep -E '^(total|longest)' "$work/wirecheck.txt" | sed 's/^/# /' || true
}

# download_start FILE [CURL OPTION...]: fetches it in the background into $work/FILE.
download_start() {
	local file=$1
	shift
	nsenter --net=/run/netns/client curl --silent --show-error --max-time "$max_time" --output "$work/$file" \
		--write-out '%{http_code} %{size_download} bytes in %{time_total} s\n' "$@" \
		"$url/$file" >"$work/curl.log" 2>&1 &
	curl_pid=$!
}

# upload_start FILE [CURL OPTION...]: stores $www/FILE on the server in the background.
upload_start() {
	local file=$1
	shift
	nsenter --net=/run/netns/client curl --silent --show-error --max-time "$max_time" --upload-file "$www/$file" \
		--write-out '%{http_code} %{size_upload} bytes in %{time_total} s\n' "$@" \
		"$url/store/$file" >"$work/curl.log" 2>&1 &
	curl_pid=$!
}

# curl_wait: its exit code goes to curl_code.
curl_wait() {
	curl_code=0
	wait "$curl_pid" || curl_code=$?
	tap_note "curl: $(tail -n 1 "$work/curl.log")"
}

curl_runs() {
	kill -0 "$curl_pid" 2>/dev/null
}

# download_over_death FILE BYTES [CURL OPTION...]: node a dies when so many are there, and the client gets all.
download_over_death() {
	local file=$1 bytes=$2
	shift 2
	capture_start
	download_start "$file" "$@"
	need 60 has_bytes "$work/$file" "$bytes"
	kill_node a
	check "the node died within the download" curl_runs
	curl_wait
	capture_stop
	check "curl ends well" is "$curl_code" 0
	check "every byte is right" cmp "$www/$file" "$work/$file"
}

# size_of FILE: 0 while it is not there.
size_of() {
	stat -c %s "$1" 2>/dev/null || echo 0
}

# has_bytes FILE BYTES: it has grown that far.
has_bytes() {
	[ "$(size_of "$1")" -ge "$2" ]
}

# stored NODE BYTES: its nginx has that much of an upload in its temporary file.
stored() {
	[ "$(stored_bytes "$1")" -ge "$2" ]
}

stored_bytes() {
	find "$work/nginx-$1/body" -type f -printf '%s\n' 2>/dev/null | awk '{ n += $1 } END { print n + 0 }'
}

# answers_more NUMBER: the client of programs/keepalive.py has had that many more answers than at the last call of mark.
mark() {
	marked=$(cat "$work/answers" 2>/dev/null || echo 0)
}
answers_more() {
	[ "$(cat "$work/answers" 2>/dev/null || echo 0)" -ge $((marked + $1)) ]
}
