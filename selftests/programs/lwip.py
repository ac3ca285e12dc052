# SPDX-License-Identifier: GPL-2.0
"""Sockets of lwIP, a TCP that is not Linux, with the few names of the `socket` module that the test
clients use. It is Debian's liblwip as it is, on a TAP device: window scaling by 1, neither
timestamps nor selective acknowledgements.
"""

import ctypes
import os
import socket
import threading

from addresses import family_of

# For setsockopt(), which does nothing here.
SOL_SOCKET, SO_RCVBUF = socket.SOL_SOCKET, socket.SO_RCVBUF

# From lwip/api.h, lwip/err.h, lwip/ip_addr.h, lwip/ip6_addr.h and lwip/pbuf.h.
NETCONN_TCP = {socket.AF_INET: 0x10, socket.AF_INET6: 0x18}
ADDRESS_TYPE = {socket.AF_INET: 0, socket.AF_INET6: 6}
INVALID, PREFERRED = 0, 0x30
NETCONN_COPY = 1
ERR_CLOSED = -15
TOTAL_LENGTH = 16

LIBRARY = ctypes.CDLL("liblwip.so.2")
for function, result, *arguments in (
        ("tcpip_init", None, ctypes.c_void_p, ctypes.c_void_p),
        ("netif_add", ctypes.c_void_p) + 7 * (ctypes.c_void_p,),
        ("netif_set_up", None, ctypes.c_void_p),
        ("netif_add_ip6_address", ctypes.c_int8) + 3 * (ctypes.c_void_p,),
        ("netif_ip6_addr_set_state", None, ctypes.c_void_p, ctypes.c_int8, ctypes.c_uint8),
        ("nd6_adjust_mld_membership", None, ctypes.c_void_p, ctypes.c_int8, ctypes.c_uint8),
        ("netconn_new_with_proto_and_callback", ctypes.c_void_p,
         ctypes.c_int, ctypes.c_uint8, ctypes.c_void_p),
        ("netconn_connect", ctypes.c_int8, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint16),
        ("netconn_recv_tcp_pbuf", ctypes.c_int8, ctypes.c_void_p, ctypes.c_void_p),
        ("netconn_write_partly", ctypes.c_int8, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t,
         ctypes.c_uint8, ctypes.c_void_p),
        ("netconn_delete", ctypes.c_int8, ctypes.c_void_p),
        ("pbuf_copy_partial", ctypes.c_uint16, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_uint16,
         ctypes.c_uint16),
        ("pbuf_free", ctypes.c_uint8, ctypes.c_void_p)):
    getattr(LIBRARY, function).restype = result
    getattr(LIBRARY, function).argtypes = arguments

# The only network device. lwIP keeps its address: it must stay; no struct netif is that large.
NETIF = ctypes.create_string_buffer(8192)


def ip_addr(address):
    """An ip_addr_t: 16 bytes of address, of which IPv4 takes 4, a zone, padding, and the type."""
    family = family_of(address)
    packed = socket.inet_pton(family, address)
    return ctypes.create_string_buffer(packed.ljust(20, b"\0") + bytes([ADDRESS_TYPE[family]]), 32)


def configure(address, prefix):
    """Gives the device its address; what has the same beginning is reached directly."""
    is_v4 = family_of(address) == socket.AF_INET
    mask = ((1 << 32) - (1 << 32 - prefix)).to_bytes(4) if is_v4 else bytes(4)
    LIBRARY.netif_add(NETIF, ip_addr(address) if is_v4 else bytes(4), mask, bytes(4), None,
                      ctypes.cast(LIBRARY.tapif_init, ctypes.c_void_p),
                      ctypes.cast(LIBRARY.tcpip_input, ctypes.c_void_p))
    LIBRARY.netif_set_up(NETIF)
    if not is_v4:
        # Of IPv6 it knows no other length than 64.
        index = ctypes.c_int8()
        check(LIBRARY.netif_add_ip6_address(NETIF, ip_addr(address), ctypes.byref(index)),
              "address")
        # Its TAP device has no part in multicast (NETIF_FLAG_MLD6), so that it would not hear who
        # asks for its address: the new node, which its packets do not tell.
        LIBRARY.netif_ip6_addr_set_state(NETIF, index, INVALID)
        LIBRARY.nd6_adjust_mld_membership(NETIF, index, PREFERRED)
        LIBRARY.netif_ip6_addr_set_state(NETIF, index, PREFERRED)


def start(device, address, prefix):
    """Starts the stack on a TAP device that is there already."""
    os.environ["PRECONFIGURED_TAPIF"] = device
    started = threading.Event()
    callback = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(lambda _: started.set())
    LIBRARY.tcpip_init(ctypes.cast(callback, ctypes.c_void_p), None)
    started.wait()
    LIBRARY.sys_lock_tcpip_core()
    configure(address, prefix)
    LIBRARY.sys_unlock_tcpip_core()


def check(error, what):
    """Raises what lwIP says."""
    if error:
        raise OSError(f"lwIP: {what}: error {error}")


class Socket:
    """A TCP connection of lwIP."""

    def __init__(self, address, port):
        self.rest = b""
        self.netconn = LIBRARY.netconn_new_with_proto_and_callback(
            NETCONN_TCP[family_of(address)], 0, None)
        check(LIBRARY.netconn_connect(self.netconn, ip_addr(address), port), "connect")

    def settimeout(self, _):
        """Left to who waits for the thread."""

    def setsockopt(self, *_):
        """Nothing of that kind."""

    def recv(self, length):
        """Returns up to `length` bytes; none at the end."""
        if not self.rest:
            self.rest = self.receive()
        data, self.rest = self.rest[:length], self.rest[length:]
        return data

    def receive(self):
        """Returns what came next."""
        pbuf = ctypes.c_void_p()
        error = LIBRARY.netconn_recv_tcp_pbuf(self.netconn, ctypes.byref(pbuf))
        if error == ERR_CLOSED:
            return b""
        check(error, "receive")
        length = ctypes.c_uint16.from_address(pbuf.value + TOTAL_LENGTH).value
        data = ctypes.create_string_buffer(length)
        LIBRARY.pbuf_copy_partial(pbuf, data, length, 0)
        LIBRARY.pbuf_free(pbuf)
        return data.raw

    def sendall(self, data):
        """Sends all of it."""
        check(LIBRARY.netconn_write_partly(self.netconn, data, len(data), NETCONN_COPY, None),
              "send")

    def close(self):
        """Closes both ways."""
        check(LIBRARY.netconn_delete(self.netconn), "close")


def create_connection(address, _=None):
    """Opens a connection."""
    return Socket(*address)
