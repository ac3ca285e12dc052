#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Connections in all states that a connection can be in when its server dies. Steps of the test:

  deaf   the client hears nothing any more, but is heard
  crash  the node is dead, the other one has not noticed yet
  after  all has been restored
"""

import os
import socket
import sys
import time

import stream_client
from stream_client import Failed

LONG = 600_000


def accepted(connection, steering):
    """Open, and nothing said."""
    connection.connect()
    steering.ready()
    steering.until("crash")
    connection.read(connection.ask(1000))
    connection.end()


def mid_request(connection, steering):
    """Half of a command sent."""
    connection.connect()
    connection.send("GIVE 4")
    steering.ready()
    steering.until("crash")
    connection.send("711 1000\n")
    connection.read(stream_client.stream(4711, 1000))
    connection.end()


def mid_request_late(connection, steering):
    """The same; the other half comes when all is over."""
    connection.connect()
    connection.read(connection.ask(100))
    connection.send("GIVE 4")
    steering.ready()
    steering.until("after")
    connection.send("712 1000\n")
    connection.read(stream_client.stream(4712, 1000))
    connection.end()


def mid_response(connection, steering):
    """A part of the answer read, more of it under way."""
    connection.connect()
    wanted = connection.ask(LONG)
    connection.read(wanted[:1000])
    steering.ready()
    connection.read(wanted[1000:], steering.before("after"))
    connection.read(connection.ask(1000))
    connection.end()


def mid_body(connection, steering):
    """A part of what the server takes sent, the rest while it dies and after."""
    connection.connect()
    body, answer = connection.offer(LONG)
    connection.write(body[:10_000])
    steering.ready()
    connection.write(body[10_000:], steering.before("after"))
    connection.read(answer)
    connection.end()


def answered(connection, steering):
    """All asked is answered, all answers are read."""
    connection.connect()
    for _ in range(20):
        connection.read(connection.ask(3000))
    body, answer = connection.offer(20_000)
    connection.write(body)
    connection.read(answer)
    steering.ready()
    steering.until("after")
    connection.read(connection.ask(3000))
    connection.end()


def half_closed_by_client(connection, steering):
    """The client has sent its FIN; the server still sends."""
    connection.connect()
    wanted = connection.ask(LONG)
    connection.socket.shutdown(socket.SHUT_WR)
    connection.read(wanted[:1000])
    steering.ready()
    connection.read(wanted[1000:], steering.before("after"))
    connection.read_end()


def half_closed_and_unread(connection, steering):
    """The same, but the server has not read the request, nor seen the FIN."""
    connection.connect()
    connection.send("GATE after\n")
    wanted = connection.ask(LONG)
    connection.socket.shutdown(socket.SHUT_WR)
    steering.ready()
    connection.read(wanted)
    connection.read_end()


def half_closed_at_once(connection, steering):
    """The client's FIN is all that is left to read for a server that is late with its own."""
    connection.connect()
    connection.read(connection.ask(1000))
    connection.send("GATE after\n")
    connection.socket.shutdown(socket.SHUT_WR)
    steering.ready()
    connection.read_end()


def stored(connection, name, answer):
    """The server has to note what it took, as it cannot say so any more."""
    path = os.path.join(connection.options.store, name)
    deadline = time.monotonic() + 20
    while not os.path.exists(path):
        if time.monotonic() > deadline:
            raise Failed(f"{name} was not taken")
        time.sleep(0.05)
    with open(path, "rb") as file:
        if file.read() != answer:
            raise Failed("the server took wrong bytes")


def half_closed_by_server(connection, steering):
    """The server has sent its FIN, and reads on."""
    connection.connect()
    connection.read(connection.ask(1000))
    connection.send("SHUT\n")
    connection.read_end()
    body, answer = connection.offer(LONG)
    connection.write(body[:10_000])
    steering.ready()
    connection.write(body[10_000:], steering.before("after"))
    connection.socket.shutdown(socket.SHUT_WR)
    stored(connection, f"{connection.name}-2", answer)


def half_closed_by_server_unheard(connection, steering):
    """The same, but the client has not read up to the server's FIN."""
    connection.connect()
    wanted = connection.ask(LONG)
    connection.send("SHUT\n")
    body, answer = connection.offer(LONG)
    connection.read(wanted[:1000])
    steering.ready()
    connection.read(wanted[1000:], steering.before("after"))
    connection.read_end()
    connection.write(body)
    connection.socket.shutdown(socket.SHUT_WR)
    stored(connection, f"{connection.name}-2", answer)


def closed_by_server(connection, steering):
    """The server has closed; the client has read to the end, and keeps its side open."""
    connection.connect()
    wanted = connection.ask(1000)
    connection.send("END\n")
    connection.read(wanted)
    connection.read_end()
    steering.ready()
    steering.until("after")
    connection.socket.shutdown(socket.SHUT_WR)
    # Nobody is left to say anything; but the FIN has to be acknowledged.
    gone(connection)


def closed_by_server_unread(connection, steering):
    """The server has closed, and waits for the client to take the rest."""
    connection.connect()
    wanted = connection.ask(LONG)
    connection.send("END\n")
    connection.read(wanted[:1000])
    steering.ready()
    connection.read(wanted[1000:], steering.before("after"))
    connection.read_end()
    connection.socket.shutdown(socket.SHUT_WR)
    gone(connection)


def gone(connection):
    """The client's FIN has to be acknowledged: its socket comes to its end."""
    deadline = time.monotonic() + 20
    # The first byte of struct tcp_info: 7 is TCP_CLOSE.
    while connection.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1) != b"\7":
        if time.monotonic() > deadline:
            raise Failed("the FIN is never acknowledged")
        time.sleep(0.05)
    error = connection.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if error:
        raise Failed(os.strerror(error))


def pipelined(connection, steering):
    """Many requests under way, the answers read bit by bit."""
    connection.connect()
    wanted = b"".join(connection.ask(length) for length in range(1, 20_000, 333))
    body, answer = connection.offer(5000)
    connection.write(body)
    wanted += answer + b"".join(connection.ask(length) for length in range(1, 20_000, 333))
    connection.read(wanted[:70_000])
    steering.ready()
    connection.read(wanted[70_000:], steering.before("after"))
    connection.end()


def unread(connection, steering):
    """Input that the server has not read yet, until some time after it was restored."""
    connection.connect()
    connection.send("GATE after\n")
    body, answer = connection.offer(30_000)
    connection.write(body)
    steering.ready()
    connection.read(answer + connection.ask(1000))
    connection.end()


def keepalive(connection, steering):
    """Idle; the client asks every second whether the server is still there, and gives up soon."""
    connection.set(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    connection.set(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 1)
    connection.set(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 1)
    connection.set(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 10)
    connection.connect()
    connection.read(connection.ask(1000))
    steering.ready()
    steering.until("after")
    # Longer than it takes to give up.
    time.sleep(13)
    connection.read(connection.ask(1000))
    connection.end()


def keepalive_of_server(connection, steering):
    """Idle; the server asks every second."""
    connection.connect()
    connection.send("KEEP\n")
    connection.read(connection.ask(1000))
    steering.ready()
    steering.until("after")
    time.sleep(4)
    connection.read(connection.ask(1000))
    connection.end()


def user_timeout(connection, steering):
    """The client gives up when its bytes are not acknowledged within some seconds."""
    connection.set(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 15000)
    connection.connect()
    body, answer = connection.offer(LONG)
    connection.write(body[:10_000])
    steering.ready()
    connection.write(body[10_000:], steering.before("after"))
    connection.read(answer)
    connection.end()


def user_timeout_idle(connection, steering):
    """The same, with nothing under way but for one request that goes astray."""
    connection.set(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 15000)
    connection.connect()
    connection.read(connection.ask(1000))
    steering.ready()
    steering.until("crash")
    connection.read(connection.ask(1000))
    connection.end()


def no_delay(connection, steering):
    """Byte after byte, each in a segment of its own."""
    connection.set(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.connect()
    body, answer = connection.offer(400)
    for place in range(400):
        connection.write(body[place:place + 1])
        if place == 50:
            steering.ready()
        if place > 50 and not steering.reached("after"):
            time.sleep(0.02)
    connection.read(answer)
    connection.end()


def known(connection, steering):
    """Ready; the test is told which one it is, to look at its server's socket."""
    port = connection.socket.getsockname()[1]
    # At once, or the lines of two threads might mix.
    print(f"port {port} {connection.name}\n", end="", flush=True)
    steering.ready()


def lost_syn_ack(connection, steering):
    """The handshake's answer never came: the server has a connection that the client has not."""
    steering.ready()
    steering.until("deaf")
    connection.connect()
    connection.read(connection.ask(1000))
    connection.end()


def lost_response(connection, steering):
    """The answer to a request was sent, and never came."""
    connection.connect()
    known(connection, steering)
    steering.until("deaf")
    connection.read(connection.ask(5000))
    connection.end()


def lost_acknowledgement(connection, steering):
    """What the client sent was taken, the acknowledgement never came."""
    connection.connect()
    body, answer = connection.offer(LONG)
    connection.write(body[:1000])
    known(connection, steering)
    steering.until("deaf")
    connection.write(body[1000:])
    connection.read(answer)
    connection.end()


def lost_fin(connection, steering):
    """The server's FIN never came, nor the last of its bytes."""
    connection.connect()
    connection.read(connection.ask(1000))
    known(connection, steering)
    steering.until("deaf")
    wanted = connection.ask(5000)
    connection.send("END\n")
    connection.read(wanted)
    connection.end()


def lost_fin_acknowledgement(connection, steering):
    """The client's FIN was taken, neither its acknowledgement nor the server's FIN came."""
    connection.connect()
    connection.read(connection.ask(1000))
    known(connection, steering)
    steering.until("deaf")
    connection.end()


def late_opening(connection, steering):
    """Opened while the node is dead and nobody has noticed."""
    steering.ready()
    steering.until("crash")
    connection.connect()
    connection.read(connection.ask(1000))
    connection.end()


def reset_before(connection, steering):
    """Reset by the client before."""
    connection.connect()
    connection.read(connection.ask(LONG)[:0])
    connection.reset()
    steering.ready()


def reset_unheard(connection, steering):
    """Reset by the client while nobody hears it."""
    connection.connect()
    connection.read(connection.ask(1000))
    steering.ready()
    steering.until("crash")
    connection.reset()


def reset_after(connection, steering):
    """Reset by the client when it has been restored."""
    connection.connect()
    connection.read(connection.ask(1000))
    steering.ready()
    steering.until("after")
    connection.read(connection.ask(1000))
    connection.reset()


# The test counts on it: those that are restored, those that are new, those that are gone.
RESTORED = [
    accepted, mid_request, mid_request_late, mid_response, mid_body, answered,
    half_closed_by_client, half_closed_and_unread, half_closed_at_once, half_closed_by_server,
    half_closed_by_server_unheard, closed_by_server_unread, pipelined, unread,
    keepalive, keepalive_of_server, user_timeout, user_timeout_idle, no_delay, lost_response,
    lost_acknowledgement, lost_fin, lost_fin_acknowledgement, reset_after]
NEW = [lost_syn_ack, late_opening]
# Nothing of it is left but the wait for the client's FIN.
LEFT = [closed_by_server]
GONE = [reset_before, reset_unheard]


if __name__ == "__main__":
    if sys.argv[1:] == ["--count"]:
        print(len(RESTORED))
    else:
        stream_client.run(stream_client.parse().parse_args(), [
            (scenario.__name__, scenario, None) for scenario in RESTORED + NEW + LEFT + GONE])
