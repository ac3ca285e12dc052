# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
# shellcheck disable=SC2154,SC2034 # variables of the files sourced before, and for those after
#
# What the client does: transfers, and the capture that shows what it saw. Sourced after node.sh.

capture=$work/client.pcap
url=http://$service_address:$service_port
# A client that hangs must not hang the test.
max_time=${TCPFO_MAX_TIME:-150}

# random_file NAME BYTES: a file that both servers serve.
random_file() {
	head -c "$2" /dev/urandom >"$www/$1"
}

capture_listens() {
	[ -s "$capture" ]
}

# What runs in the background is started without `on`: its process is then the program itself.

# capture_start: headers of all that the client sends and hears, and the beginning of the payload.
capture_start() {
	# The buffer is large: a packet that the capture misses is one that is not checked.
	ip netns exec client tcpdump -i eth0 -w "$capture" -U -Z root -s 200 -B 65536 \
		'arp or icmp or tcp' 2>"$work/tcpdump.log" &
	capture_pid=$!
	need 20 capture_listens
}

# capture_stop: everything seen so far is in the file.
capture_stop() {
	kill "$capture_pid"
	wait "$capture_pid" || true
}

# capture_is_whole: the kernel dropped nothing of it.
capture_is_whole() {
	grep -q '^0 packets dropped by kernel' "$work/tcpdump.log" || {
		cat "$work/tcpdump.log"
		return 1
	}
}

# wire_is_clean [OPTION...]: the client saw nothing that it must not see.
wire_is_clean() {
	[ -x "$wirecheck" ] || {
		echo "no wirecheck at $wirecheck"
		return 1
	}
	local code=0
	"$wirecheck" --service "$service_address:$service_port" "$@" "$capture" \
		>"$work/wirecheck.txt" || code=$?
	cat "$work/wirecheck.txt"
	return "$code"
}

# tell_wire: the last lines of the report as remarks: totals and the longest gap.
tell_wire() {
	sed -n '/^total:/,$s/^/# /p' "$work/wirecheck.txt" 2>/dev/null || true
}

# download_start FILE [CURL OPTION...]: fetches it in the background into $work/FILE.
download_start() {
	local file=$1
	shift
	ip netns exec client curl --silent --show-error --max-time "$max_time" --output "$work/$file" \
		--write-out '%{http_code} %{size_download} bytes in %{time_total} s\n' "$@" \
		"$url/$file" >"$work/curl.log" 2>&1 &
	curl_pid=$!
}

# upload_start FILE [CURL OPTION...]: stores $www/FILE on the server in the background.
upload_start() {
	local file=$1
	shift
	ip netns exec client curl --silent --show-error --max-time "$max_time" --upload-file "$www/$file" \
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
	[ "$(cat "$work/nginx-$1"/body/* 2>/dev/null | wc -c)" -ge "$2" ]
}
