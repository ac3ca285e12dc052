#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Clients that mean no good, one segment after another: broken headers, options that lie, wrong
# checksums, data in the SYN, blind resets and SYNs, old acknowledgements and timestamps, signatures
# that nobody asked for, fragments, segments that overlap and say different things.
#
# Each is said to a protected port and, number by number the same, to an unprotected one of the same
# nginx. Then two uploads are sent in contradictory pieces, of which one is carried over.
#
# Fails if the protected port answers otherwise than the other one; if one byte that TCP has refused is
# in the log, as it would be the truth after a takeover; or if the upload that was carried over is another
# one than the stock kernel has made of the same pieces. SEED= repeats what is random.

. "$(dirname "$0")/lib.sh"
. "$here/topology.sh"
. "$here/node.sh"
. "$here/client.sh"
. "$here/hostile.sh"

seed
random_file page 400
random_file long 300000
cluster_up
hostile_up

# What there is of fragments; in IPv6 they are put together behind the module's hooks.
fragments=(fragments tiny_fragments fragments_in_disorder overlapping_fragments)
[ "$family" = 6 ] || fragments=()
check "answers and log are right" hostile hostile a --ports 80 81 --counters "$(sysfs a stats)" \
	--but "${fragments[@]}"
grep '^#' "$work/check.log" || true
check "none of it cost a connection its protection" reads a stats/connections_unprotected 0

if [ "$family" = 6 ]; then
	# Before the client ends it.
	for node in a b; do
		put "$node" services/web/commit_timeout_ms 100
	done
	hostile hostile a --ports 80 81 --counters "$(sysfs a stats)" --quiet 1.5 \
		--only fragments >/dev/null || true
	check "fragments: that connection is counted" \
		wait_for 10 at_least a stats/unprotected_late 1
	cell fragments unprotected "they are put together behind the module's hooks"
	for node in a b; do
		put "$node" services/web/commit_timeout_ms 2000
	done
	for name in "${fragments[@]:1}"; do
		cell "$name" unprotected "as others"
	done
fi

need 60 reads b services/web/connections 0
hostile overlaps a --ports 80 81 --go "$work/go" >"$work/overlaps.log" 2>&1 &
overlaps=$!
need 60 grep -q '^ready$' "$work/overlaps.log"
check "node b knows of the upload" reads b services/web/connections 1
kill_node a
: >"$work/go"
code=0
wait "$overlaps" || code=$?
check "the contradictory upload ends well" is "$code $(tail -n 1 "$work/overlaps.log")" "0 ready"
check "it is what the stock kernel makes of it" cmp "$work/nginx-a/store/81" "$work/nginx-b/store/80"
check "it was restored" reads b stats/connections_restored 1
check "none failed" reads b stats/connections_failed 0
finish
