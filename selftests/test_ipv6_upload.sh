#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# test_upload.sh over IPv6: clients, service and channel; the address comes with its search for
# duplicates, while another node has it.
#
# Fails if anything in the module takes an address for an IPv4 one, or if the standby is found to be a
# duplicate.

# shellcheck disable=SC2034 # for topology.sh
family=6
. "$(dirname "$0")/test_upload.sh"
