#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# test_download.sh with IPv4 clients and servers that listen on IPv6 sockets.
#
# Fails if the module looks for the sockets of such servers among those of IPv6.

# shellcheck disable=SC2034 # for topology.sh
family=dual
. "$(dirname "$0")/test_download.sh"
