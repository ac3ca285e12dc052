# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
# shellcheck disable=SC2154,SC2034 # variables of the files sourced before, and for those after
#
# Servers as Debian has them, beside the nginx of node.sh, and clients that are programs of others.
# Sourced after client.sh.

# Each service that peers_up makes, and its port.
declare -A peer_port=([lighttpd]=8081 [haproxy]=8082 [redis]=6379 [socat]=7 [http2]=8083
	[iperf3]=5201)

# What the servers bind to, and where they find one of their own node.
if [ "$family" = 6 ]; then
	any='[::]'
	loopback='[::1]'
else
	any=0.0.0.0
	loopback=127.0.0.1
fi

# peers_up NODE: all of these servers, with folders of their own.
peers_up() {
	local dir=$work/peers-$1 name
	mkdir -p "$dir"
	for name in "${!peer_port[@]}"; do
		"${name}_up" "$1" "$dir"
	done
	need 60 listens "$1" "${peer_port[@]}"
}

# lighttpd_up NODE DIR: with a copy of the files, as nodes have: the same times, but other inodes, of
# which nothing may get into an answer.
lighttpd_up() {
	cp -a "$www" "$2/www"
	cat >"$2/lighttpd" <<-END
		server.port = ${peer_port[lighttpd]}
		server.bind = "$any"
		server.document-root = "$2/www"
		server.errorlog = "$2/lighttpd.log"
		etag.use-inode = "disable"
	END
	on "$1" lighttpd -f "$2/lighttpd"
}

# haproxy_up NODE DIR: in front of the nginx of its node.
haproxy_up() {
	cat >"$2/haproxy" <<-END
		global
			daemon
			maxconn 64
		defaults
			mode tcp
			timeout connect 10s
			timeout client 600s
			timeout server 600s
		listen proxy
			bind $any:${peer_port[haproxy]}
			server local $loopback:81
	END
	on "$1" haproxy -f "$2/haproxy" >"$2/haproxy.log" 2>&1
}

redis_up() {
	on "$1" redis-server --port "${peer_port[redis]}" --bind "${any//[][]/}" --protected-mode no --save '' \
		--dir "$2" --logfile "$2/redis.log" --daemonize yes >/dev/null
}

# socat_up NODE DIR: what comes goes back, line by line.
socat_up() {
	nsenter --net="/run/netns/$1" socat "TCP$family-LISTEN:${peer_port[socat]},fork,reuseaddr" EXEC:cat \
		2>"$2/socat.log" &
}

http2_up() {
	cat >"$2/http2" <<-END
		user root;
		pid $2/http2.pid;
		error_log $2/http2.log;
		events { worker_connections 64; }
		http {
			access_log off;
			root $www;
			server {
				$(nginx_listens "${peer_port[http2]}")
				http2 on;
			}
		}
	END
	on "$1" nginx -e "$2/http2.log" -c "$2/http2"
}

iperf3_up() {
	on "$1" iperf3 --server --daemon --port "${peer_port[iperf3]}" --logfile "$2/iperf3.log"
}

declare -A peer_pid

# peer_start NAME COMMAND...: a client, in the background; what it prints goes to $work/NAME.log, and
# errors to $work/NAME.err. It reads the pipe $work/to_NAME, if there is one.
peer_start() {
	local name=$1 input=/dev/null
	shift
	[ ! -p "$work/to_$name" ] || input=$work/to_$name
	nsenter --net=/run/netns/client "$@" <"$input" >"$work/$name.log" 2>"$work/$name.err" &
	peer_pid[$name]=$!
}

peer_runs() {
	kill -0 "${peer_pid[$1]}"
}

# peer_ends_well NAME: its exit status is 0.
peer_ends_well() {
	local code=0
	wait "${peer_pid[$1]}" || code=$?
	tail -n 5 "$work/$1.err" "$work/$1.log"
	return "$code"
}

# lines FILE NUMBER: it has so many.
lines() {
	[ "$(wc -l <"$1")" -ge "$2" ]
}
