# SPDX-License-Identifier: GPL-2.0
"""Sockets of the family that a test speaks: of IPv4 or IPv6, as an address says, and listeners of
either or, on IPv6 sockets, of both ("dual").
"""

import socket

FAMILIES = ("4", "6", "dual")


def family_of(address):
    """The family of an address that is written in numbers."""
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def stream_socket(address, protocol=0):
    """A socket that can be connected to the address."""
    return socket.socket(family_of(address), socket.SOCK_STREAM, protocol)


def server_socket(family, protocol=0):
    """A socket that is not bound yet, for one of FAMILIES."""
    kind = socket.AF_INET if family == "4" else socket.AF_INET6
    sock = socket.socket(kind, socket.SOCK_STREAM, protocol)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if kind == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, family == "6")
    return sock
