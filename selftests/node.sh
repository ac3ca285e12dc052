# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
# shellcheck disable=SC2154,SC2034 # variables of the files sourced before, and for those after
#
# What runs on a node: the module's configuration and an unmodified nginx. Sourced after
# topology.sh.

# The folder that the servers serve, the same on both nodes, as an operator would have it.
www=$work/www
mkdir -p "$www"

# sysfs NODE FILE: where that file of the module is.
sysfs() {
	printf '%s/%s/kernel/tcp_failover/net/%s\n' "$sysfs_mounts" "$1" "$2"
}

# get NODE FILE
get() {
	cat "$(sysfs "$1" "$2")"
}

# put NODE FILE VALUE
put() {
	printf '%s\n' "$3" >"$(sysfs "$1" "$2")"
}

# reads NODE FILE VALUE: whether the file says that.
reads() {
	is "$(get "$1" "$2")" "$3"
}

# at_least NODE FILE NUMBER
at_least() {
	[ "$(get "$1" "$2")" -ge "$3" ] || {
		printf '%s %s: %s, not at least %s\n' "$1" "$2" "$(get "$1" "$2")" "$3"
		return 1
	}
}

# at_most NODE FILE NUMBER
at_most() {
	[ "$(get "$1" "$2")" -le "$3" ] || {
		printf '%s %s: %s, more than %s\n' "$1" "$2" "$(get "$1" "$2")" "$3"
		return 1
	}
}

# listens NODE PORT...: servers there, on all of these.
listens() {
	local port
	for port in "${@:2}"; do
		on "$1" ss -Hltn "sport = :$port" | grep . || return
	done
}

other_node() {
	case $1 in
	a) echo b ;;
	b) echo a ;;
	esac
}

# change_places: of the nodes of a test that has an active and a standby one.
change_places() {
	[ "$active" = a ] && active=b standby=a || active=a standby=b
}

# channel_up NODE
channel_up() {
	local node=$1
	put "$node" channel/local_address "${channel_address[$node]}"
	put "$node" channel/peer_address "${channel_address[$(other_node "$node")]}"
	put "$node" channel/enabled 1
}

# service_up NODE ROLE [NAME PORT]
service_up() {
	local node=$1 role=$2 name=${3:-web} port=${4:-$service_port}
	put "$node" services/create "$name"
	put "$node" "services/$name/address" "$service_address"
	put "$node" "services/$name/port" "$port"
	put "$node" "services/$name/device" "$device"
	put "$node" "services/$name/role" "$role"
}

# nginx_listens PORT [OPTION...]: the line of nginx's configuration, for what the test speaks.
nginx_listens() {
	case $family in
	4) echo "listen $*;" ;;
	6) echo "listen [::]:$*;" ;;
	dual) echo "listen [::]:$* ipv6only=off;" ;;
	esac
}

# What a test may add to nginx's configuration.
nginx_options=${nginx_options:-}
nginx_listen_options=("${nginx_listen_options[@]}")

# nginx_up NODE: an unmodified nginx with files of its own, but for the ones it serves. Port 81 is
# the same server, unprotected. What an earlier one has stored is not there any more.
nginx_up() {
	local dir=$work/nginx-$1
	rm -rf "$dir/body" "$dir/store"
	mkdir -p "$dir/store"
	cat >"$dir/conf" <<-END
		user root;
		worker_processes 1;
		pid $dir/pid;
		error_log $dir/error.log info;
		worker_rlimit_nofile $((2 * ${nginx_connections:-512}));
		events { worker_connections ${nginx_connections:-512}; }
		http {
			$nginx_options
			access_log $dir/access.log;
			client_body_temp_path $dir/body;
			proxy_temp_path $dir/proxy;
			fastcgi_temp_path $dir/fastcgi;
			uwsgi_temp_path $dir/uwsgi;
			scgi_temp_path $dir/scgi;
			client_max_body_size 0;
			keepalive_timeout 600s;
			client_header_timeout 600s;
			client_body_timeout 600s;
			send_timeout 600s;
			server {
				$(nginx_listens 80 "${nginx_listen_options[@]}")
				$(nginx_listens 81 "${nginx_listen_options[@]}")
				location / { root $www; }
				location /store/ { root $dir; dav_methods PUT; }
			}
		}
	END
	on "$1" nginx -e "$dir/error.log" -c "$dir/conf"
}

# module_up: the module on both nodes, node a for the service and node b standing by.
module_up() {
	load_module
	channel_up a
	channel_up b
	service_up a primary
	service_up b backup
}

# need_protection: node a serves, and node b could carry on all of it.
need_protection() {
	need 30 reads a services/web/state active
	need 30 reads a services/web/protected 1
	need 30 reads b services/web/takeover_ready 1
}

# cluster_up: the topology, both servers, the module, node a active and protected by node b.
cluster_up() {
	topology_up
	keep_hooks+=(keep_counters)
	local node
	for node in a b; do
		nginx_up "$node"
	done
	module_up
	# Only now that one of them is silent can both have it.
	for node in a b; do
		service_address_up "$node"
	done
	need_protection
	for node in a b; do
		need 10 service_address_is_there "$node"
	done
}

service_address_up() {
	ip -n "$1" addr add "$service_address/$host_prefix" dev eth0
}

# service_address_is_there NODE: and no duplicate was found.
service_address_is_there() {
	on "$1" ip -o addr show to "$service_address" | grep . | grep -Ev 'tentative|dadfailed'
}

# node_returns NODE: one that has died comes back, as after a reboot, and stands by.
node_returns() {
	local node=$1
	remove_node "$node"
	add_node "$node"
	channel_up "$node"
	service_up "$node" backup
	service_address_up "$node"
	nginx_up "$node"
}

# taken_over: node b speaks for the service.
taken_over() {
	reads b services/web/state active
}

# stands_by_again NODE: the one that was killed can be heard again, and is silent.
stands_by_again() {
	local node=$1
	# It has not died, and believes that it speaks, until it hears of the other one.
	mend_channel "$node"
	check "node $node stands by" wait_for 20 reads "$node" services/web/state standby
	mend_service "$node"
}

# tell_takeover NODE [SERVICE]: its figures, as a remark, times in microseconds since the peer was heard.
tell_takeover() {
	(cd "$(sysfs "$1" "services/${2:-web}/takeover")" && grep . -- *) | tr '\n' ' ' |
		sed 's/^/# takeover: /; s/ $/\n/'
}

# keep_counters FOLDER: all that the module says of itself, and the sockets.
keep_counters() {
	local node
	for node in a b; do
		(cd "$(sysfs "$node" .)" 2>/dev/null && grep -r . .) >"$1/$node.sysfs" 2>/dev/null || true
		on "$node" ss -tanieom >"$1/$node.sockets" 2>/dev/null
	done
	on client ss -tanieom >"$1/client.sockets" 2>/dev/null
	on client ip neigh >"$1/client.neighbours"
}
