#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Connections with small and closed windows when their server dies. Steps of the test:

  crash  the node is dead
  after  all that can be restored has been restored
  later  some time has passed: servers and clients that stood still read on
"""

import socket

import stream_client

LONG = 1_000_000
SHORT = 60_000
# More than the kernels hold for a server that does not read. Where little fits its window it takes
# long; there the client's kernel holds little, too.
MUCH = 4_000_000
LESS = 150_000


def tiny(connection):
    """Gives the client the smallest receive buffer that there is."""
    connection.set(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)


def stalled(connection, steering):
    """The client does not read: its window is closed."""
    connection.connect()
    wanted = connection.ask(LONG)
    connection.read(wanted[:1000])
    connection.silent()
    steering.ready()
    steering.until("crash")
    connection.read(wanted[1000:] + connection.ask(1000))
    connection.end()


def stalled_longer(connection, steering):
    """The same, until long after it was restored."""
    connection.connect()
    wanted = connection.ask(LONG)
    connection.read(wanted[:1000])
    connection.silent()
    steering.ready()
    steering.until("later")
    connection.read(wanted[1000:] + connection.ask(1000))
    connection.end()


def stalled_tiny(connection, steering):
    """The same, with a tiny buffer."""
    tiny(connection)
    connection.connect()
    wanted = connection.ask(SHORT)
    connection.read(wanted[:100])
    connection.silent()
    steering.ready()
    steering.until("later")
    connection.read(wanted[100:] + connection.ask(1000))
    connection.end()


def stalled_from_the_start(connection, steering):
    """The client has not read a byte."""
    tiny(connection)
    connection.connect()
    wanted = connection.ask(SHORT)
    connection.silent()
    steering.ready()
    steering.until("crash")
    connection.read(wanted)
    connection.end()


def tiny_reader(connection, steering):
    """The window is tiny, and open."""
    tiny(connection)
    connection.connect()
    wanted = connection.ask(2 * SHORT)
    connection.read(wanted[:1000])
    steering.ready()
    connection.read(wanted[1000:], steering.before("after"))
    connection.end()


def tiny_segments(connection, steering):
    """The same, with tiny segments."""
    connection.set(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 88)
    tiny_reader(connection, steering)


def fill(connection):
    """Sends to a server that does not read; returns the answer to come, and what did not go."""
    if connection.options.tiny:
        connection.set(socket.SOL_SOCKET, socket.SO_SNDBUF, 32768)
    body, answer = connection.offer(connection.options.much)
    return answer, connection.write_until_full(body)


def server_stands(connection, steering):
    """The server does not read: its window is closed."""
    connection.connect()
    connection.send("GATE later\n")
    answer, left = fill(connection)
    steering.ready()
    steering.until("crash")
    connection.write(left)
    connection.read(answer + connection.ask(1000))
    connection.end()


def server_stands_after_much(connection, steering):
    """The same; it had taken much before, so its buffer has grown."""
    connection.connect()
    body, answer = connection.offer(3 * LONG)
    connection.write(body)
    connection.read(answer)
    connection.send("GATE later\n")
    body, answer = connection.offer(12 * LONG)
    left = connection.write_until_full(body)
    steering.ready()
    steering.until("crash")
    connection.write(left)
    connection.read(answer + connection.ask(1000))
    connection.end()


def server_slow(connection, steering):
    """The server reads, the client is too slow to fill its window."""
    connection.connect()
    body, answer = connection.offer(5 * SHORT)
    connection.write(body[:1000])
    steering.ready()
    connection.write(body[1000:], steering.before("after"))
    connection.read(answer)
    connection.end()


def both_stand(connection, steering):
    """Neither reads: both windows are closed."""
    connection.connect()
    wanted = b"".join(connection.ask(LONG) for _ in range(6))
    answer, left = fill(connection)
    steering.ready()
    steering.until("later")
    connection.read(wanted)
    connection.write(left)
    connection.read(answer)
    connection.end()


# For servers with an ordinary receive buffer, and for those with a tiny one.
ORDINARY = [stalled, stalled_longer, stalled_tiny, stalled_from_the_start, tiny_reader,
            tiny_segments, server_stands, server_stands_after_much, both_stand, server_slow]
TINY = [stalled, tiny_reader, server_stands, both_stand, server_slow]


def main():
    """Reads the options and runs."""
    parser = stream_client.parse()
    parser.add_argument("--tiny", action="store_true", help="the server's buffer is tiny")
    options = parser.parse_args()
    scenarios = TINY if options.tiny else ORDINARY
    options.much = LESS if options.tiny else MUCH
    names = [scenario.__name__ for scenario in scenarios]
    # How many there are, and how many windows will be closed at the client and at the server.
    both = names.count("both_stand")
    print("count", len(names), sum(name.startswith("stalled") for name in names) + both,
          sum(name.startswith("server_stands") for name in names) + both, flush=True)
    stream_client.run(options, [
        (name + ("_tiny_server" if options.tiny else ""), scenario, None)
        for name, scenario in zip(names, scenarios)])


if __name__ == "__main__":
    main()
