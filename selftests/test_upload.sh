#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# An upload survives the death of its server: the file that the other node stores is the one that
# the client sent, although the first half went to a node that is gone.
#
# Fails if one acknowledged byte was not in the log: the client would not send it again.

. "$(dirname "$0")/lib.sh"
. "$here/topology.sh"
. "$here/node.sh"
. "$here/client.sh"

size=$((24 << 20))

random_file file "$size"
cluster_up
capture_start
# As slow as a common network: or it would be over before the node is killed.
upload_start file --limit-rate 12M
need 60 stored a $((size / 3))
kill_node a
check "the node died within the upload" curl_runs
curl_wait
capture_stop

check "curl ends well" is "$curl_code" 0
check "the server says that it created the file" grep -q '^201 ' "$work/curl.log"
check "every byte is right" cmp "$www/file" "$work/nginx-b/store/file"
check "one connection was restored" reads b stats/connections_restored 1
check "none failed" reads b stats/connections_failed 0
check "the client's bytes were logged" at_least a stats/bytes_logged $((size / 3))
check "the client saw nothing of it" wire_is_clean --max-gap-ms "$longest_wait_ms"
tell_wire
finish
