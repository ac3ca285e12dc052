#!/bin/bash
# SPDX-License-Identifier: GPL-2.0
#
# Every file of the configuration: takes what is right and gives it back; refuses what is wrong with
# the right error, keeps the old value, and says in one line of the kernel log what was wrong. And the
# files are those of Documentation/ABI/testing/sysfs-kernel-tcp_failover, no more and no less.
#
# Fails if a value is taken that should not be, if an error is another one, if a refusal is silent
# or floods the log, or if a file is not documented.

. "$(dirname "$0")/lib.sh"
. "$here/topology.sh"
. "$here/node.sh"

abi=$top/Documentation/ABI/testing/sysfs-kernel-tcp_failover

# takes FILE VALUE...: each is taken and read back. VALUE=SHOWN when it is shown otherwise.
takes() {
	local file=$1 value
	shift
	for value in "$@"; do
		put a "$file" "${value%=*}"
		reads a "$file" "${value#*=}"
	done
}

# put_error FILE VALUE: what the error is called.
put_error() {
	local error
	error=$({ put a "$1" "$2"; } 2>&1) || true
	printf '%s\n' "${error##*: }"
}

# logged FILE VALUE: writes the wrong value, and sees whether the log's last line is about it.
logged() {
	put_error "$1" "$2" >/dev/null
	dmesg | tail -n 3 | grep -F "tcp_failover: ${1##*/}: \"$2\" refused: "
}

# refuses FILE ERROR VALUE...: each; the first one is looked for in the log.
refuses() {
	local file=$1 error=$2 value before after
	shift 2
	for value in "$@"; do
		before=$(get a "$file" 2>&1 || true)
		is "$(put_error "$file" "$value")" "$error" || {
			echo "when writing '$value'"
			return 1
		}
		after=$(get a "$file" 2>&1 || true)
		is "$after" "$before" || return
	done
	# There may have been too many lines lately: then it is written again, and said later.
	wait_for 10 logged "$file" "${*:1:1}"
}

EINVAL='Invalid argument'
ERANGE='Numerical result out of range'
EBUSY='Device or resource busy'
EEXIST='File exists'
ENOENT='No such file or directory'
ENODEV='No such device'
EACCES='Permission denied'

not_numbers=(x '' ' ' -1 +1 0x10 1.5 '1 2' 1e3 99999999999999999999 ١)
not_addresses=(x '' 10.77.0 10.77.0.1.2 10.77.0.256 10.77.0.-1 10.77.0.01 '10.77.0.1 x' 10.77.0.1/24
	0.0.0.0 127.0.0.1 224.0.0.1 255.255.255.255 :: ::1 ff02::1 fe80::1 fe80::1%eth0 fd00:::1
	fd00::1/64 ::ffff:10.77.0.1 '[fd00::1]')

# number FILE SMALLEST LARGEST ONE_MORE...
number() {
	local file=$1 smallest=$2 largest=$3
	shift 3
	local before
	before=$(get a "$file")
	check "$file takes what is right" takes "$file" "$smallest" "$largest" " $smallest =$smallest"
	put a "$file" "$before"
	check "$file refuses what is no number" refuses "$file" "$EINVAL" "${not_numbers[@]}"
	check "$file refuses what is out of range" refuses "$file" "$ERANGE" "$@"
}

# address FILE
address() {
	check "$1 takes an address" takes "$1" 10.1.2.3 1.0.0.1 223.255.255.254 fd00::1 2001:db8::a:b
	check "$1 refuses what is none" refuses "$1" "$EINVAL" "${not_addresses[@]}"
}

topology_up
load_module

number channel/port 1 65535 0 65536
number limits/max_connections 1 $((1 << 24)) 0 $(((1 << 24) + 1))
number limits/max_log_bytes 65536 $((1 << 44)) 0 65535 $(((1 << 44) + 1))
number limits/max_log_bytes_per_connection 65536 $((1 << 44)) 65535 $(((1 << 44) + 1))
put a channel/peer_timeout_ms 600000
number channel/gather_us 0 50000 50001
number channel/heartbeat_interval_ms 10 10000 0 9 10001
number channel/peer_timeout_ms 200 600000 0 199 600001
put a channel/peer_timeout_ms 500
check "a heartbeat has to fit twice into the time-out" \
	refuses channel/heartbeat_interval_ms "$EINVAL" 251
put a channel/heartbeat_interval_ms 250
check "and the time-out has to hold two heartbeats" refuses channel/peer_timeout_ms "$EINVAL" 499
address channel/local_address
address channel/peer_address

# The channel needs two different addresses, and keeps them while it is enabled.
check "channel/enabled refuses what is neither 0 nor 1" \
	refuses channel/enabled "$EINVAL" '' 2 yes -1 01
put a channel/local_address 10.78.0.2
put a channel/peer_address 10.78.0.2
check "channel/enabled refuses two equal addresses" refuses channel/enabled "$EINVAL" 1
put a channel/peer_address fd78::3
check "channel/enabled refuses addresses of two families" refuses channel/enabled "$EINVAL" 1
put a channel/peer_address 10.78.0.3
check "channel/enabled takes 1" takes channel/enabled 1 1
check "an enabled channel is connecting" reads a channel/state connecting
for file in channel/local_address channel/peer_address; do
	check "$file is busy then" refuses "$file" "$EBUSY" 10.78.0.9
done
check "channel/port is busy then" refuses channel/port "$EBUSY" 7790
check "channel/enabled takes 0" takes channel/enabled 0 0
check "a disabled channel is off" reads a channel/state off

# Services.
check "services/create refuses what is no name" refuses services/create "$EINVAL" \
	'' . .. a/b A 'a b' ä "$(printf 'x%.0s' {1..32})"
check "services/create takes a name" put a services/create web
check "and another" put a services/create "$(printf 'x%.0s' {1..31})"
check "and one that looks like an option" put a services/create -n_0
check "services/create refuses a name twice" refuses services/create "$EEXIST" web
check "services/remove refuses an unknown name" refuses services/remove "$ENOENT" mail '' /
check "services/remove takes a name" put a services/remove -n_0
check "its files are gone" fails test -e "$(sysfs a services/-n_0)"

check "a service without address, port and device has no role" \
	refuses services/web/role "$EINVAL" primary backup
address services/web/address
put a services/web/address 10.77.0.100
check "services/web/port takes what is right" takes services/web/port 1 65535 80
check "services/web/port refuses what is no number" \
	refuses services/web/port "$EINVAL" "${not_numbers[@]}"
check "services/web/port refuses what is out of range" refuses services/web/port "$ERANGE" 0 65536
check "services/web/device refuses what is no device" refuses services/web/device "$ENODEV" eth7
check "services/web/device refuses what is no name" \
	refuses services/web/device "$EINVAL" '' a-name-too-long-for-any
check "services/web/device takes a device" takes services/web/device eth1 eth0
number services/web/hold_timeout_ms 100 600000 0 99 600001
number services/web/commit_timeout_ms 100 60000 0 99 60001
check "services/web/on_peer_loss takes what is right" \
	takes services/web/on_peer_loss stall degrade
check "services/web/on_peer_loss refuses the rest" \
	refuses services/web/on_peer_loss "$EINVAL" '' Stall none 1
check "services/web/safe_points takes what is right" takes services/web/safe_points whole request
check "services/web/safe_points refuses the rest" \
	refuses services/web/safe_points "$EINVAL" '' Whole none 1

check "services/web/role refuses what is none" \
	refuses services/web/role "$EINVAL" '' Primary standby 1 'primary backup'
check "services/web/role takes backup" takes services/web/role backup backup
check "state follows" reads a services/web/state standby
check "services/web/role wants to be off in between" refuses services/web/role "$EBUSY" primary
check "services/web/address is busy then" refuses services/web/address "$EBUSY" 10.77.0.101
check "services/web/port is busy then" refuses services/web/port "$EBUSY" 81
check "services/web/device is busy then" refuses services/web/device "$EBUSY" eth1
check "services/remove is busy then" refuses services/remove "$EBUSY" web
check "hold_timeout_ms is not" takes services/web/hold_timeout_ms 5000
check "services/web/role takes off" takes services/web/role off off
check "services/web/role takes primary" takes services/web/role primary primary
check "state follows, after a probe" wait_for 10 reads a services/web/state active

# Two services cannot have the same address and port.
put a services/create twin
put a services/twin/address 10.77.0.100
put a services/twin/port 80
put a services/twin/device eth0
taken() {
	! put a services/twin/role primary 2>"$work/error" && dmesg | tail -n 3 | grep -F refused
}
check "a second service of the same address and port is refused" taken

# Files that cannot be written, or read.
read_only() {
	local file
	for file in channel/state services/web/{state,epoch,takeover_ready,protected,connections} \
		stats/takeovers services/web/takeover/restored; do
		is "$(put_error "$file" 1)" "$EACCES" || return
	done
}
write_only() {
	local file
	for file in services/create services/remove; do
		is "$(get a "$file" 2>&1 | sed 's/.*: //')" "$EACCES" || return
	done
}
# As nobody: root may open anything.
check "what only tells cannot be written" read_only
check "what only does cannot be read" write_only

# Any bytes.
garbage() {
	local file bytes
	for file in channel/{local_address,port,enabled,peer_timeout_ms} limits/max_log_bytes \
		services/{create,remove} services/web/{role,device,hold_timeout_ms}; do
		for bytes in '\0' '\377\376' '80\0' 'eth0\0x' '\n\n' '\033[2J'; do
			# shellcheck disable=SC2059 # the escapes are meant
			! printf "$bytes" >"$(sysfs a "$file")" 2>/dev/null || {
				printf '%s takes %s\n' "$file" "$bytes"
				return 1
			}
		done
		! head -c 4096 /dev/zero | tr '\0' 1 >"$(sysfs a "$file")" 2>/dev/null || {
			echo "$file takes 4096 bytes"
			return 1
		}
	done
}
check "no file takes garbage" garbage

# A program that goes on writing nonsense does not flood the log.
lines() {
	dmesg | grep -c 'tcp_failover: port: ' || true
}
quiet() {
	local i before
	before=$(lines)
	for ((i = 0; i < 300; i++)); do
		put a channel/port x 2>/dev/null || true
	done
	[ "$(($(lines) - before))" -le 60 ]
}
check "the lines are limited" quiet

# Another namespace has files of its own.
check "another namespace is not configured" reads b channel/local_address ""
check "and has no service" fails test -e "$(sysfs b services/web)"

# The documentation.
documented() {
	sed -n 's,^What:[[:space:]]*/sys/kernel/tcp_failover/net/,,p' "$abi" | sort -u >"$work/documented"
	[ -s "$work/documented" ]
}
present() {
	(cd "$(sysfs a .)" && find . -type f) |
		sed -E 's,^\./,,; s,^services/(web|twin|x+)/,services/<name>/,' | sort -u >"$work/present"
}
undocumented() {
	present
	comm -13 "$work/documented" "$work/present" | grep .
}
missing() {
	comm -23 "$work/documented" "$work/present" | grep .
}
check "the ABI is documented" documented
check "every file is documented" fails undocumented
check "every documented file is there" fails missing
finish
