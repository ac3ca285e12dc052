#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Downloads and uploads with all variants of what a handshake can agree on. Steps of the test:

  end  both nodes' sockets have been compared: the connections may come to their end

The sysctls of a variant are set while its connections are opened: a kernel looks at them then, and
not later. Has to run with the client's network.
"""

import os
import socket
import struct
import threading

import stream_client
from stream_client import Failed

SOL, TCP = socket.SOL_SOCKET, socket.IPPROTO_TCP
# Not in the module: a buffer beyond net.core.rmem_max.
SO_RCVBUFFORCE = 33
# tcpi_options of struct tcp_info.
TS, SACK, WSCALE, ECN, USEC = 1, 2, 4, 8, 64
ALL = TS | SACK | WSCALE
MEANT = ALL | ECN | USEC

# Name: what has to be agreed on, sysctls of the client, of node a, options of the client's socket.
VARIANTS = {
    "plain": (ALL, {}, {}, []),
    "no_scale": (TS | SACK, {"tcp_window_scaling": "0"}, {}, []),
    "no_scale_of_server": (TS | SACK, {}, {"tcp_window_scaling": "0"}, []),
    "no_sack": (TS | WSCALE, {"tcp_sack": "0"}, {}, []),
    "no_timestamps": (SACK | WSCALE, {"tcp_timestamps": "0"}, {}, []),
    "no_timestamps_of_server": (SACK | WSCALE, {}, {"tcp_timestamps": "0"}, []),
    "nothing": (0, {"tcp_window_scaling": "0", "tcp_sack": "0", "tcp_timestamps": "0"}, {}, []),
    "only_scale": (WSCALE, {"tcp_sack": "0", "tcp_timestamps": "0"}, {}, []),
    "ecn": (ALL | ECN, {"tcp_ecn": "1"}, {}, []),
    "ecn_no_timestamps": (SACK | WSCALE | ECN, {"tcp_ecn": "1", "tcp_timestamps": "0"}, {}, []),
    "segments_536": (ALL, {}, {}, [(TCP, socket.TCP_MAXSEG, 536)]),
    "segments_88": (ALL, {}, {}, [(TCP, socket.TCP_MAXSEG, 88)]),
    "buffer_4k": (ALL, {}, {}, [(SOL, socket.SO_RCVBUF, 4096)]),
    "buffer_8m": (ALL, {}, {}, [(SOL, SO_RCVBUFFORCE, 8 << 20)]),
    "scale_0": (ALL, {"tcp_rmem": "4096 32768 32768"}, {"tcp_rmem": "4096 32768 32768"}, []),
    "scale_11": (ALL, {}, {"tcp_rmem": "4096 131072 67108864"}, []),
}
# Tiny segments are slow.
LENGTHS = {"segments_88": 150_000, "buffer_4k": 300_000}


class Sysctls:
    """Sets some sysctls of a network namespace for a while."""

    def __init__(self, namespace, values):
        self.namespace = namespace
        self.values = values
        self.before = {}

    def inside(self, work):
        """Does something in the namespace."""
        def thread():
            fd = os.open(f"/run/netns/{self.namespace}", os.O_RDONLY)
            os.setns(fd, os.CLONE_NEWNET)
            os.close(fd)
            work()
        worker = threading.Thread(target=thread)
        worker.start()
        worker.join()

    def swap(self, values):
        """Sets values, and notes the ones before."""
        for name, value in values.items():
            path = os.path.join("/proc/sys/net/ipv4", name)
            with open(path, encoding="ascii") as file:
                self.before[name] = file.read().strip()
            with open(path, "w", encoding="ascii") as file:
                file.write(value)

    def __enter__(self):
        self.inside(lambda: self.swap(dict(self.values)))

    def __exit__(self, *_):
        self.inside(lambda: self.swap(dict(self.before)))


def agreed(connection):
    """The options that the client's kernel has agreed on."""
    info = connection.socket.getsockopt(TCP, socket.TCP_INFO, 8)
    options = struct.unpack_from("B", info, 5)[0] & MEANT
    # What its route says counts there also where there are no timestamps.
    return options if options & TS else options & ~USEC


def download(connection, steering):
    """Reads slowly until the end is near."""
    wanted = connection.ask(LENGTHS.get(connection.variant, 1_000_000))
    connection.read(wanted[:1000])
    steering.ready()
    connection.read(wanted[1000:], steering.before("end"))
    connection.end()


def upload(connection, steering):
    """Sends slowly until the end is near."""
    body, answer = connection.offer(LENGTHS.get(connection.variant, 1_000_000))
    connection.write(body[:1000])
    steering.ready()
    connection.write(body[1000:], steering.before("end"))
    connection.read(answer)
    connection.end()


def opened(options, usec):
    """Opens the connections of all variants."""
    result = []
    for variant, (wanted, client, server, settings) in VARIANTS.items():
        for scenario in (download, upload):
            name = f"{variant}{'_usec' if usec else ''}_{scenario.__name__}"
            connection = stream_client.Connection(options, name)
            connection.variant = variant
            for setting in settings:
                connection.set(*setting)
            with Sysctls("client", client), Sysctls("a", server):
                connection.connect()
            if usec and wanted & TS:
                wanted |= USEC
            if agreed(connection) != wanted:
                raise Failed(f"{connection.name}: {agreed(connection)} agreed on, not {wanted}")
            port = connection.socket.getsockname()[1]
            print(f"port {port} {connection.name}", flush=True)
            result.append((connection.name, scenario, connection))
    return result


def main():
    """Reads the options and runs."""
    parser = stream_client.parse()
    parser.add_argument("--usec", action="store_true", help="timestamps in microseconds")
    parser.add_argument("--only", help="these variants, separated by commas")
    options = parser.parse_args()
    if options.only:
        for name in set(VARIANTS) - set(options.only.split(",")):
            del VARIANTS[name]
    stream_client.run(options, opened(options, options.usec))


if __name__ == "__main__":
    main()
