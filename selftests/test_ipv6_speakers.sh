#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# test_speakers.sh over IPv6, where another host claims the address from afar.
#
# Fails if such a claim keeps a standby from taking over.

# shellcheck disable=SC2034 # for topology.sh
family=6
. "$(dirname "$0")/test_speakers.sh"
