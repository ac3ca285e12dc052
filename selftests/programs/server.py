#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""A server of one file over HTTP, whose listener is as odd as it is asked to be.

What it answers depends on nothing but the file: neither on the time nor on the node.
"""

import argparse
import socket
import struct
import threading
import time

from addresses import FAMILIES, family_of, server_socket
from steps import await_file

# From linux/tcp.h and linux/in.h; not in every version of the socket module.
TCP_FASTOPEN = 23
TCP_MD5SIG = 14
TCP_ULP = 31
TCP_AO_ADD_KEY = 38
SOL_TLS, TLS_TX, TLS_RX = 282, 1, 2
IPPROTO_MPTCP = 262
KEY = b"a key of the test"
# A struct tls12_crypto_info_aes_gcm_128: TLS 1.2, that cipher, vector, key, salt and number.
TLS_KEYS = struct.pack("=HH8s16s4s8s", 0x303, 51, b"vector", KEY[:16], b"salt", b"")


def encrypt(sock):
    """Has the kernel encrypt what a connection sends, and decrypt what it gets (kTLS). The keys, of
    which a handshake would make others for each connection, are always the same.
    """
    sock.setsockopt(socket.IPPROTO_TCP, TCP_ULP, b"tls")
    for way in TLS_TX, TLS_RX:
        sock.setsockopt(SOL_TLS, way, TLS_KEYS)


def sign(sock, address, how):
    """Has the socket sign what it sends to the address, and take nothing unsigned from it."""
    family = family_of(address)
    # A struct sockaddr_in or sockaddr_in6: the port, which does not count, and a flow label.
    peer = struct.pack("=H", family) + bytes(2 if family == socket.AF_INET else 6)
    peer += socket.inet_pton(family, address)
    if how == "md5":
        sock.setsockopt(socket.IPPROTO_TCP, TCP_MD5SIG,
                        struct.pack("=128sBBHi80s", peer, 0, 0, len(KEY), 0, KEY))
    else:
        # A struct tcp_ao_add: for the whole address, with numbers that both ends have.
        bits = 32 if family == socket.AF_INET else 128
        sock.setsockopt(socket.IPPROTO_TCP, TCP_AO_ADD_KEY,
                        struct.pack("=128s64siIHBBBBBB80s", peer, b"hmac(sha1)", 0, 0, 0, bits,
                                    100, 100, 0, 0, len(KEY), KEY))


def serve(connection, answer):
    """Answers the requests of one connection until it ends."""
    request = b""
    try:
        while True:
            data = connection.recv(4096)
            if not data:
                break
            request += data
            while b"\r\n\r\n" in request:
                _, request = request.split(b"\r\n\r\n", 1)
                connection.sendall(answer)
    except OSError:
        pass
    connection.close()


def main():
    """Reads the options and serves."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--family", choices=FAMILIES, default="4")
    parser.add_argument("--file", required=True, help="the answer to every request")
    parser.add_argument("--backlog", type=int, default=64)
    parser.add_argument("--pause", type=float, default=0, help="seconds after each accept()")
    parser.add_argument("--wait-for", metavar="FILE", help="listen only when that is there")
    parser.add_argument("--mptcp", action="store_true")
    parser.add_argument("--fastopen", action="store_true")
    parser.add_argument("--sign-for", metavar="ADDRESS", help="whose segments are signed")
    parser.add_argument("--sign-by", choices=["md5", "ao"])
    parser.add_argument("--ktls", action="store_true")
    options = parser.parse_args()
    with open(options.file, "rb") as file:
        content = file.read()
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(content) + content
    threading.stack_size(256 * 1024)
    listener = server_socket(options.family, IPPROTO_MPTCP if options.mptcp else 0)
    if options.fastopen:
        listener.setsockopt(socket.IPPROTO_TCP, TCP_FASTOPEN, 16)
    if options.sign_for:
        sign(listener, options.sign_for, options.sign_by)
    if options.wait_for:
        await_file(options.wait_for)
    listener.bind(("", options.port))
    listener.listen(options.backlog)
    while True:
        connection, _ = listener.accept()
        if options.ktls:
            encrypt(connection)
        threading.Thread(target=serve, args=(connection, answer), daemon=True).start()
        time.sleep(options.pause)


if __name__ == "__main__":
    main()
