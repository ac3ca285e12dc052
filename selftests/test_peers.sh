#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Servers and clients as Debian has them, none of them changed, each on a service of its own, over one
# takeover: curl from nginx, and to and from nginx behind haproxy (mode tcp); wrk from nginx; wget from
# lighttpd; redis-cli with redis-server; socat with a cat behind socat, line by line.
#
# Two that cannot be carried on by nature are served, protected, before it, and have ended by then:
#
#   iperf3  A test is several connections, and what one is depends on which was first; the server
#           ends it with what it has measured.
#   HTTP/2  How an answer is cut into frames depends on when the client's windows were opened, and
#           even the length of a compressed Date header depends on the time.
#
# Fails if one of them gets a wrong byte or an error, if a connection was not there at the crash or not
# carried on, or if the client's capture shows anything of it.

. "$(dirname "$0")/lib.sh"
. "$here/topology.sh"
. "$here/node.sh"
. "$here/client.sh"
. "$here/peers.sh"

# Long enough for the slowest of them to have begun before the fastest has ended.
size=$((30 << 20))
rate=1500k
threads=1
wrk_connections=4
# The transfers, both that talk line by line, and wrk's.
connections=$((4 + 2 + wrk_connections))
turns=40

# talk FROM TO: that many turns more, with both that wait for each.
talk() {
	local i
	for ((i = $1; i <= $2; i++)); do
		printf 'line %d\n' "$i" >&"$to_socat"
		printf 'SET key%d value%d\nGET key%d\nECHO text%d\nPING\n' "$i" "$i" "$i" "$i" >&"$to_redis"
	done
	need 60 lines "$work/socat.log" "$2"
	need 60 lines "$work/redis.log" $(($2 * 4))
}

# said FROM TO: what redis has to say to that.
said() {
	local i
	for ((i = $1; i <= $2; i++)); do
		printf 'OK\nvalue%d\ntext%d\nPONG\n' "$i" "$i"
	done
}

# wrk_is_content: it had answers, and neither an error nor a time-out. (Its exit status says nothing.)
wrk_is_content() {
	cat "$work/wrk.log"
	grep -Eq '^ +[1-9][0-9]* requests in' "$work/wrk.log" &&
		! grep -E 'Socket errors|Non-2xx' "$work/wrk.log"
}

# h2load_is_content
h2load_is_content() {
	on client h2load -n 100 -c 2 -m 4 \
		"http://$service_host:${peer_port[http2]}/page" >"$work/h2load.log" 2>&1 || true
	tail -n 15 "$work/h2load.log"
	grep -q '100 succeeded, 0 failed, 0 errored' "$work/h2load.log"
}

# known: how many connections node b knows of, of all services.
known() {
	local name sum=0
	for name in web "${!peer_port[@]}"; do
		sum=$((sum + $(get b "services/$name/connections")))
	done
	echo "$sum"
}

knows() {
	is "$(known)" "$1"
}

random_file file "$size"
random_file page 4000
cluster_up
services=()
for node in a b; do
	peers_up "$node"
done
for name in "${!peer_port[@]}"; do
	service_up a primary "$name" "${peer_port[$name]}"
	service_up b backup "$name" "${peer_port[$name]}"
	# A server that is sent something and only closes then looks cut off.
	[ "$name" = iperf3 ] || services+=(--service "$service_host:${peer_port[$name]}")
done
for name in "${!peer_port[@]}"; do
	need 30 reads b "services/$name/takeover_ready" 1
done
capture_start

check "iperf3: up" on client iperf3 -c "$service_address" -n 8M
check "iperf3: down" on client iperf3 -c "$service_address" -n 8M -R
check "HTTP/2: nginx and h2load" h2load_is_content
cell iperf3 unprotected "its connections belong together"
cell HTTP/2 unprotected "how an answer is cut into frames is a matter of time"
check "they were protected" at_least a stats/connections_protected 6
check "all of these have ended" wait_for 60 knows 0

printf 'function delay() return 30 end\n' >"$work/wrk.lua"
mkfifo "$work/to_socat" "$work/to_redis"
peer_start socat socat STDIO "TCP:$service_host:${peer_port[socat]}"
peer_start redis redis-cli -h "$service_address"
# Nobody else may have these, or they would have no end.
exec {to_socat}>"$work/to_socat" {to_redis}>"$work/to_redis"
talk 1 "$turns"
# Only now: they have to last until the node dies.
proxy=http://$service_host:${peer_port[haproxy]}
transfer=(curl --silent --show-error --fail --max-time "$max_time" --limit-rate "$rate")
peer_start curl "${transfer[@]}" --output "$work/curl.file" "$url/file"
peer_start proxied "${transfer[@]}" --output "$work/proxied.file" "$proxy/file"
peer_start upload "${transfer[@]}" --upload-file "$www/file" "$proxy/store/file"
peer_start wget wget --no-verbose --tries=1 --limit-rate="$rate" --output-document="$work/wget.file" \
	"http://$service_host:${peer_port[lighttpd]}/file"
peer_start wrk wrk -t "$threads" -c "$wrk_connections" -d 40s --timeout 30s -s "$work/wrk.lua" \
	"$url/page"
for name in curl proxied wget; do
	need 60 has_bytes "$work/$name.file" $((size / 10))
done
need 60 stored a $((size / 10))
check "node b knows of all connections" wait_for 10 knows "$connections"
kill_node a
for name in "${!peer_pid[@]}"; do
	check "the node died under $name" peer_runs "$name"
done
talk $((turns + 1)) $((turns * 2))
exec {to_socat}>&- {to_redis}>&-
check "curl and nginx: down ends well" peer_ends_well curl
check "curl and nginx: every byte is right" cmp "$www/file" "$work/curl.file"
check "curl and nginx, haproxy between: down ends well" peer_ends_well proxied
check "curl and nginx, haproxy between: every byte is right" cmp "$www/file" "$work/proxied.file"
check "curl and nginx, haproxy between: up ends well" peer_ends_well upload
check "curl and nginx, haproxy between: every byte was stored" cmp "$www/file" "$work/nginx-b/store/file"
check "wget and lighttpd: ends well" peer_ends_well wget
check "wget and lighttpd: every byte is right" cmp "$www/file" "$work/wget.file"
check "socat and socat: ends well" peer_ends_well socat
check "socat and socat: line by line" is "$(<"$work/socat.log")" "$(seq -f 'line %.0f' $((turns * 2)))"
check "redis-cli and redis-server: ends well" peer_ends_well redis
check "redis-cli and redis-server: every answer" is "$(<"$work/redis.log")" "$(said 1 $((turns * 2)))"
check "wrk and nginx: ends well" peer_ends_well wrk
check "wrk and nginx: no error" wrk_is_content
capture_stop

check "each service was taken over" reads b stats/takeovers $((1 + ${#peer_port[@]}))
check "all connections were restored" reads b stats/connections_restored "$connections"
check "none failed" reads b stats/connections_failed 0
check "no client saw anything of it" wire_is_clean --service "$service_host:$service_port" "${services[@]}"
tell_wire
finish
