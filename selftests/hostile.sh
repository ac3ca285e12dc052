# shellcheck shell=bash
# SPDX-License-Identifier: GPL-2.0
# shellcheck disable=SC2154,SC2034 # variables of the files sourced before, and for those after
#
# A host that means no good, with programs that make their segments by hand. Sourced after client.sh.

# Nobody but the programs answers for it.
if [ "$family" = 6 ]; then
	hostile_address=fd77::200
	hostile_host=fd77::66
else
	hostile_address=10.77.0.200
	hostile_host=10.77.0.66
fi
hostile_mac=02:00:00:00:00:0e

# hostile_up: to be called when there is a topology.
hostile_up() {
	local node
	add_host hostile "$hostile_host" "$hostile_mac"
	for node in a b; do
		ip -n "$node" neigh add "$hostile_address" lladdr "$hostile_mac" dev eth0 nud permanent
	done
}

# hostile PROGRAM NODE [OPTION...]: against that node.
hostile() {
	on hostile python3 "$here/programs/$1.py" --address "$hostile_address" \
		--service "$service_address" --mac "${node_mac[$2]}" --seed "$SEED" "${@:3}"
}
