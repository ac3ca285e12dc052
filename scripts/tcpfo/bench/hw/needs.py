# SPDX-License-Identifier: GPL-2.0
"""What the machines have to have, and must not have yet. Looks, and changes nothing."""

import os
import re

from tcpfo.bench.hw import TOP

# Prints the device that has the channel's address.
CHANNEL_DEVICE = """
ip -o addr show to {channel} | awk 'NR == 1 {{ sub("@.*", "", $2); print $2 }}'
"""
COMMON = """
lacks() {{ echo "$*"; }}
[ "$(id -u)" = 0 ] || lacks "not root: give a destination such as root@NAME"
need() {{ command -v "$1" >/dev/null || lacks "no $1: apt-get install $2"; }}
need ip iproute2; need setsid util-linux
"""
NODE = COMMON + """
need nginx nginx-light; need tc iproute2; need ss iproute2; need nft nftables; need insmod kmod
device={device} channel={channel} service={service}
if ! ip link show dev $device >/dev/null 2>&1; then
    lacks "no device $device"
elif [ "$(cat /sys/class/net/$device/operstate)" = down ]; then
    lacks "$device is down"
else
    tc qdisc show dev $device root | grep -q '^qdisc [^ ]* 0: ' ||
        lacks "the queueing discipline of $device is not the kernel's: it could not be restored"
    ip route get $service >/dev/null 2>&1 ||
        lacks "$service is in no network of $device: give that an address"
    ip -o route get $service 2>/dev/null | grep -q ' via ' &&
        lacks "$service is behind a router, not in a network of $device"
fi
holder=$(""" + CHANNEL_DEVICE + """)
if [ -z "$holder" ]; then
    lacks "no device has $channel"
elif [ "$holder" = $device ]; then
    lacks "$channel is on $device: the channel has a network of its own"
else
    ping -c 1 -W 2 {peer} >/dev/null 2>&1 || lacks "{peer} does not answer from $channel"
    printf 'table netdev tcpfo_hw {{ chain out {{
        type filter hook egress device %s priority 0; policy drop; }}; }}' $holder |
        nft -c -f - >/dev/null 2>&1 || lacks "nft cannot cut off $holder (CONFIG_NETFILTER_EGRESS)"
fi
! [ -d /sys/module/tcp_failover ] || lacks "tcp_failover is loaded: this wants to load its own"
[ -z "$(ip -o addr show to $service)" ] || lacks "$service is there already"
for port in {port} $(({port} + 1)); do
    [ -z "$(ss -Htln "sport = :$port")" ] || lacks "port $port is in use: PORT= says another one"
done
[ "$(sysctl -n net.ipv4.tcp_syncookies)" != 2 ] || lacks "net.ipv4.tcp_syncookies is 2"
"""
CLIENT = COMMON + """
need python3 python3; need tcpdump tcpdump; need ping iputils-ping
service={service} binary={binary}
[ -e /proc/schedstat ] || lacks "no /proc/schedstat (CONFIG_SCHEDSTATS)"
[ -n "$binary" ] || command -v cc >/dev/null || lacks "no cc: apt-get install gcc libc6-dev"
route=$(ip -o route get $service 2>/dev/null) || lacks "no route to $service"
case $route in
*" via "*) lacks "$service is behind a router: the client is in its network" ;;
esac
ping -c 1 -W 1 $service >/dev/null 2>&1 && lacks "$service answers: somebody has it"
true
"""
LOAD = os.path.join(TOP, "build/bench/load")


def module_release(path):
    """The kernel that a module was built for."""
    with open(path, "rb") as file:
        found = re.search(rb"vermagic=(\S+)", file.read())
    return found.group(1).decode() if found else "?"


def lacking(hosts, config):
    """({name: kernel's release}, what is missing as a list of lines)."""
    kernels, lines = {}, []
    peers = {"a": "b", "b": "a"}
    for name, host in hosts.items():
        kernels[name] = host.run("uname -r").strip()
        if name in config.nodes:
            node = config.nodes[name]
            script = NODE.format(device=node.device, channel=node.channel, port=config.port,
                                 service=config.service.ip,
                                 peer=config.nodes[peers[name]].channel)
            release = module_release(config.module)
            if release != kernels[name]:
                lines.append(f"{name}: runs {kernels[name]}, the module is for {release}: "
                             "make KDIR=TREE builds it, MODULE= names it")
        else:
            script = CLIENT.format(service=config.service.ip,
                                   binary="there" if os.path.exists(LOAD) else "")
        lines += [f"{name}: {line}" for line in host.run(script).splitlines()]
    return kernels, lines
