#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# A download survives the death of its server: curl ends well, every byte is right, and the
# client's capture shows no reset, one speaker at a time and nothing taken back.
#
# Negatives: test_control.sh (without the module), wirecheck's own tests (each breach is found).

. "$(dirname "$0")/lib.sh"
. "$here/topology.sh"
. "$here/node.sh"
. "$here/client.sh"

size=$((32 << 20))

random_file file "$size"
cluster_up
# As slow as a common network: or it would be over before the node is killed.
download_over_death file $((size / 3)) --limit-rate 12M
check "node b is active" taken_over
check "one connection was restored" reads b stats/connections_restored 1
check "none failed" reads b stats/connections_failed 0
check "the takeover was counted" reads b stats/takeovers 1
check "the peer's loss was counted" at_least b stats/peer_losses 1
check "the epoch grew" at_least b services/web/epoch 2
check "what the client had already was absorbed" at_least b services/web/takeover/bytes_absorbed 1
check "the client saw nothing of it" wire_is_clean --max-gap-ms "$longest_wait_ms"
tell_wire
finish
