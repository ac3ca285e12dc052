#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Limits that are set below what is in use: the operator is told both values, what is held stays held, no
# more is taken, and who finds no room is unprotected, visibly, and served all the same.
#
# Fails if that is silent, if a connection that was protected is given up at once, or if one for which
# there is no room is taken.

. "$(dirname "$0")/lib.sh"
. "$here/topology.sh"
. "$here/node.sh"
. "$here/client.sh"
. "$here/peers.sh"

size=$((1 << 20))

# half head|tail: of the file that is uploaded, to the client that waits for it.
half() {
	"$1" -c $((size / 2)) "$www/file" >&"$pipe"
}

# told NODE FILE VALUE: sets a limit, and sees that the log's line has both values.
told() {
	local in_use
	put "$1" "limits/$2" "$3"
	in_use=$(kernel_log | sed -n "s/.*tcp_failover: $2: $3 is less than the \([0-9]*\) in use.*/\1/p")
	[ "${in_use:-0}" -gt "$3" ] || {
		kernel_log | tail -n 5
		return 1
	}
	reads "$1" "limits/$2" "$3"
}

# silent NODE FILE VALUE: nothing is said of that.
silent() {
	put "$1" "limits/$2" "$3"
	kernel_log | fails grep "tcp_failover: $2: $3"
}

random_file file "$size"
cluster_up
capture_start
peer_start idle python3 -c "
import socket, sys
s = socket.create_connection(('$service_address', $service_port))
sys.exit(len(s.recv(1)))"
mkfifo "$work/to_upload"
peer_start upload curl --silent --show-error --fail --max-time "$max_time" --upload-file - \
	"$url/store/file"
exec {pipe}>"$work/to_upload"
half head
need 60 at_least b limits/replica_bytes $((size / 2))
need 20 reads b limits/connections 2

check "no more connections than there are: nothing is said" silent b max_connections 2
check "fewer: both values are told" told b max_connections 1
check "less for one than it has: both values are told" told b max_log_bytes_per_connection 65536
check "less for all than they have: both values are told" told b max_log_bytes 65536
check "all that was protected still is" reads a services/web/unprotected 0

check "another client is served" on client curl --silent --fail --output "$work/file" "$url/file"
check "byte by byte" cmp "$www/file" "$work/file"
check "node b took no more" reads b stats/replicas_refused 1
check "and the other was unprotected" reads a stats/unprotected_refused 1

half tail
exec {pipe}>&-
check "the upload ends well" peer_ends_well upload
check "byte by byte" cmp "$www/file" "$work/nginx-a/store/file"
check "there was no room for its second half" at_least b stats/replicas_refused 2
check "of which node a knows" at_least a stats/unprotected_refused 2
check "and does not ask again and again" at_most b stats/replicas_refused 5
check "nothing of it is held any more" wait_for 20 reads b limits/replica_bytes 0
kill "${peer_pid[idle]}"
capture_stop
check "the clients saw nothing of it" wire_is_clean --takeovers 0
tell_wire
finish
