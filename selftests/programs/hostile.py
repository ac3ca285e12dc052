#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Says odd things to a protected port and, number by number the same, to one that is not, and
compares what comes back. Both have to be of one server.

And compares what the protected port has taken with what the module has logged of it: nothing that
was refused may be in the log, as it would be the truth after a takeover.

Exits 1 if there was a difference.
"""

import argparse
import os
import random
import sys

from raw_tcp import ACK, FIN, MSS, PSH, RST, SYN, Connection, Link, flags_of, packet

# How long nothing has to come until nothing more is expected, in seconds.
QUIET = 0.25
GET = b"GET /page HTTP/1.1\r\nHost: x\r\n\r\n"
# Longer: a log that has it has more bytes.
WRONG = b"GET /none HTTP/1.1\r\nHost: somebody else\r\n\r\n"
LONG = b"GET /long HTTP/1.1\r\nHost: x\r\n\r\n"
# By then all of that, which is 300 KiB, has come.
LONG_ROUNDS = 12
FAR = 1 << 30
MD5 = b"\x13\x12" + bytes(16)
AO = b"\x1d\x10" + bytes(14)


def stamps(value, echo=0):
    """A timestamp option."""
    return b"\x01\x01\x08\x0a" + value.to_bytes(4, "big") + echo.to_bytes(4, "big")


# Each scenario yields packets, and whether the number of answers counts, or None if the answers do
# not at all; each yield waits for what comes back.

def opened(conn, options=MSS, more=b""):
    """A handshake."""
    yield [conn.packet(SYN, seq=0, options=options)], True
    yield [conn.packet(ACK, options=more)], False


def answered(conn, request=GET, **more):
    """A request and its answer."""
    first = conn.packet(ACK | PSH, request, **more)
    conn.next += len(request)
    yield [first], False
    yield [conn.packet(ACK, **more)], False


def left(conn):
    """The end: a reset that is believed."""
    yield [conn.packet(RST | ACK)], True
    yield [conn.packet(ACK)], True


def no_connection(conn):
    """All sorts of segments to a listener."""
    for flags in (ACK, RST, FIN, 0, 0x29, SYN | FIN, SYN | RST, SYN | ACK, PSH | ACK | FIN, 0xff):
        yield [conn.packet(flags, b"data" if flags & PSH else b"", seq=7, ack=9)], True
        yield [conn.packet(RST, seq=8)], True
    yield [conn.packet(0, GET)], True
    yield [conn.packet(ACK, GET)], True


def broken(conn):
    """What is no segment at all."""
    yield [conn.packet(SYN, seq=0, sum=0x1234)], True
    yield [conn.packet(SYN, seq=0, offset=4)], True
    yield [conn.packet(SYN, seq=0, offset=0)], True
    yield [conn.packet(SYN, seq=0, offset=15)], True
    for length in (0, 4, 12, 19):
        yield [packet(conn.link.address, conn.link.service, conn.raw(SYN, seq=0)[:length])], True


OPTIONS = {
    "length_0": b"\x02\x00\x05\xb4", "length_1": b"\x02\x01\x05\xb4",
    "past_end": b"\x02\xc8\x05\xb4",
    "short_mss": b"\x02\x03\x05", "cut": b"\x01\x01\x01\x08", "nops": b"\x01" * 40,
    "ends": bytes(40), "unknown": b"\xfe\x28" + bytes(38), "ones": b"\xff" * 40,
    "mss_0": b"\x02\x04\x00\x00", "mss_1": b"\x02\x04\x00\x01", "scale_255": b"\x03\x03\xff",
    "twice": MSS + b"\x02\x04\x02\x00" + MSS, "sacks": b"\x04\x02\x04\x02\x05\x0a" + bytes(8),
    "stamps_only": stamps(1), "md5": MD5, "ao": AO, "fastopen": b"\x22\x02",
    "fastopen_cookie": b"\x22\x0a12345678", "mptcp_cut": b"\x1e\x04\x00\x81",
}


def with_options(options):
    """A scenario: a SYN with these, and a request."""
    def scenario(conn):
        yield [conn.packet(SYN, seq=0, options=options)], True
        if conn.irs:
            yield from answered(conn, **({"options": stamps(2)} if options == stamps(1) else {}))
            yield from left(conn)
    return scenario


def syn_with_data(conn):
    """The data counts only when it comes again."""
    yield [conn.packet(SYN, WRONG, seq=0, options=MSS)], True
    yield from answered(conn)
    yield from left(conn)


def half_open(conn):
    """A connection request that is disturbed."""
    yield [conn.packet(SYN, seq=0, options=MSS)], True
    yield [conn.packet(RST, seq=FAR)], True
    yield [conn.packet(ACK, WRONG, ack=conn.expected + 5)], True
    yield from answered(conn)
    yield from left(conn)


def given_up(flags):
    """A scenario: one that such a segment puts an end to."""
    def scenario(conn):
        yield [conn.packet(SYN, seq=0, options=MSS)], True
        yield [conn.packet(flags, seq=1)], True
        yield [conn.packet(ACK, GET)], True
    return scenario


def disturbed(*rubbish, options=MSS, more=b""):
    """A scenario: a connection, rubbish that must not count, and its request."""
    def scenario(conn):
        yield from opened(conn, options, more)
        for what, details in rubbish:
            if "step" in details:
                details = {**details, "seq": conn.next + details["step"]}
                del details["step"]
            yield [conn.packet(*what, **details)], True
        yield from answered(conn, options=more)
        yield from left(conn)
    return scenario


def early_request(conn):
    """With the acknowledgement that ends the handshake."""
    yield [conn.packet(SYN, seq=0, options=MSS)], True
    yield from answered(conn)
    yield from left(conn)


def byte_by_byte(conn):
    """A request in segments of one byte, the last first."""
    yield from opened(conn)
    yield [conn.packet(ACK, GET[at:at + 1], seq=conn.next + at)
           for at in reversed(range(len(GET)))], False
    conn.next += len(GET)
    yield [conn.packet(ACK)], False
    yield from left(conn)


def overlapping(conn):
    """Pieces that say different things of the same places: some count, others do not."""
    yield from opened(conn)
    pieces = [(20, GET[20:]), (10, GET[10:24]), (4, b" /page HTTP/9.9"), (12, b"xxxx"),
              (0, GET[:8]), (2, b"xx"), (0, GET)]
    for at, piece in pieces:
        yield [conn.packet(ACK, piece, seq=conn.next + at)], False
    conn.next += len(GET)
    yield [conn.packet(ACK)], False
    yield from left(conn)


def behind_the_end(conn):
    """Bytes behind the client's FIN, which are nobody's."""
    yield from opened(conn)
    yield from answered(conn)
    yield [conn.packet(ACK | FIN)], False
    conn.next += 1
    yield [conn.packet(ACK, WRONG)], True
    yield [conn.packet(ACK | FIN, seq=conn.next + 20)], True
    yield [conn.packet(ACK)], True
    yield [conn.packet(ACK)], True


def long_ago(conn):
    """Rubbish that acknowledges no more than what was long ago acknowledged."""
    yield from opened(conn)
    yield [conn.packet(ACK | PSH, LONG)], None
    conn.next += len(LONG)
    for _ in range(LONG_ROUNDS):
        yield [conn.packet(ACK)], None
    yield [conn.packet(ACK, WRONG, ack=1)], True
    yield [conn.packet(ACK, WRONG, ack=conn.expected - 200_000)], True
    yield from answered(conn)
    yield from left(conn)


def in_fragments(*cuts, first=0, doubled=False):
    """A scenario: a request in IP fragments that end at these places."""
    def scenario(conn):
        yield from opened(conn)
        data = conn.raw(ACK | PSH, GET)
        bounds = [0, *cuts, len(data)]
        pieces = [(begin, data[begin:end]) for begin, end in zip(bounds, bounds[1:])]
        if doubled:
            pieces.insert(1, (8, b"\0" * 24))
        pieces = pieces[first:] + pieces[:first]
        conn.next += len(GET)
        yield [packet(conn.link.address, conn.link.service, piece, 4711 + conn.ports[1], begin,
                    begin + len(piece) < len(data)) for begin, piece in pieces], False
        yield [conn.packet(ACK)], False
        if doubled:
            conn.next -= len(GET)
            yield from answered(conn)
        yield from left(conn)
    return scenario


BLIND = {
    "wrong_sum": ((ACK, WRONG), {"sum": 0x4321}),
    "no_ack": ((PSH, WRONG), {}),
    "acks_the_unsent": ((ACK, WRONG), {"ack": FAR}),
    "acks_the_old": ((ACK, WRONG), {"ack": -FAR}),
    "acks_the_ancient": ((ACK, WRONG), {"ack": -(1 << 31)}),
    "before": ((ACK, WRONG), {"step": -FAR}),
    "keepalive": ((ACK, b"x"), {"step": -1}),
    "beyond": ((ACK, WRONG), {"step": 200_000}),
    "at_the_edge": ((ACK, WRONG), {"step": 65535 + 500}),
    "fin_beyond": ((ACK | FIN, b""), {"step": 200_000}),
    "reset_before": ((RST, b""), {"step": -5}),
    "reset_within": ((RST, b""), {"step": 5}),
    "reset_beyond": ((RST, b""), {"step": FAR}),
    "syn_here": ((SYN, b""), {}),
    "syn_data": ((SYN | ACK, WRONG), {}),
    "syn_far": ((SYN, b""), {"step": FAR}),
    "signed": ((ACK, WRONG), {"options": MD5}),
    "authenticated": ((ACK, WRONG), {"options": AO}),
    "short_header": ((ACK, WRONG), {"offset": 4}),
    "long_header": ((ACK, b"x"), {"offset": 15}),
    "nothing": ((0, b""), {}),
    "xmas": ((FIN | PSH, b""), {}),
}

SCENARIOS = {
    "no_connection": no_connection, "broken": broken, "syn_with_data": syn_with_data,
    "half_open": half_open, "reset": given_up(RST), "answered": given_up(SYN | ACK),
    "early_request": early_request, "byte_by_byte": byte_by_byte, "overlapping": overlapping,
    "behind_the_end": behind_the_end, "long_ago": long_ago,
    "old_stamps": disturbed(((ACK, WRONG), {"options": stamps(1)}), options=MSS + stamps(100_000),
                            more=stamps(100_001)),
    "fragments": in_fragments(32), "tiny_fragments": in_fragments(8, 16, 24, 32, 40),
    "fragments_in_disorder": in_fragments(8, 24, 40, first=2),
    "overlapping_fragments": in_fragments(16, 32, doubled=True),
    **{f"options_{name}": with_options(options) for name, options in OPTIONS.items()},
    **{f"blind_{name}": disturbed(what) for name, what in BLIND.items()},
}

# Where more may be in the log than was taken: what comes out of order is logged again when it has
# its place; and the end of a connection is noticed a little later.
MORE_IN_THE_LOG = ("byte_by_byte", "overlapping", "reset", "answered")


def noted(conn, answers, packets, counts):
    """What is compared of a step."""
    if counts is None:
        return None
    return conn.told(answers, counts, any(flags_of(data) & SYN for data in packets))


def play(link, scenario, ports, chosen, quiet):
    """Plays a scenario on both ports at once; returns connections, and what each was told."""
    port, iss = chosen.randrange(20_000, 60_000), chosen.randrange(1 << 32)
    conns = {to: Connection(link, port, to, iss) for to in ports}
    plays = {to: scenario(conn) for to, conn in conns.items()}
    told = {to: [] for to in ports}
    while True:
        steps = {to: next(play, None) for to, play in plays.items()}
        if all(step is None for step in steps.values()):
            return conns, told
        for packets in zip(*(step[0] if step else [] for step in steps.values())):
            for data in packets:
                link.send(data)
        answers = {to: [] for to in ports}
        for answer in link.receive(quiet):
            if answer.source in conns and answer.dest == port:
                answers[answer.source].append(answer)
                conns[answer.source].hear(answer)
        for to, step in steps.items():
            told[to].append(noted(conns[to], answers[to], *step) if step else None)


class Log:
    """What the module of a node says that it has logged."""

    def __init__(self, counters):
        self.counters = counters
        self.before = self.read()

    def read(self):
        """Connections and bytes so far."""
        result = []
        for name in ("connections_protected", "bytes_logged"):
            with open(os.path.join(self.counters, name), encoding="ascii") as file:
                result.append(int(file.read()))
        return result

    def since(self):
        """Connections and bytes since it was asked last."""
        before, self.before = self.before, self.read()
        return [now - then for now, then in zip(self.before, before)]


def group(name):
    """What many scenarios have in common is one row in the table of results."""
    first = name.split("_")[0]
    return first if first in ("options", "blind") else name


def taken(name, conn):
    """How many bytes the service has acknowledged."""
    fin = name == "behind_the_end"
    # The SYN, and perhaps the FIN, are acknowledged as well.
    return max(0, conn.acked - 1 - fin)


def main():
    """Reads the options and plays all scenarios."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="eth0")
    parser.add_argument("--address", required=True, help="ours, which no kernel has")
    parser.add_argument("--service", required=True)
    parser.add_argument("--mac", required=True, help="of the service's node")
    parser.add_argument("--ports", type=int, nargs=2, required=True,
                        help="the protected one and another")
    parser.add_argument("--counters", required=True, help="the module's, of that node")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", default=SCENARIOS)
    parser.add_argument("--quiet", type=float, default=QUIET, help="how long is long enough")
    parser.add_argument("--but", nargs="*", default=[], help="not these")
    options = parser.parse_args()
    link = Link(options.device, options.address, options.service, options.mac)
    log = Log(options.counters)
    chosen = random.Random(options.seed)
    names = [name for name in options.only if name not in options.but]
    differences = 0
    for name in names:
        before = differences
        conns, told = play(link, SCENARIOS[name], options.ports, chosen, options.quiet)
        protected, other = options.ports
        for step, (ours, wanted) in enumerate(zip(told[protected], told[other])):
            if ours != wanted:
                differences += 1
                print(f"differs: {name}, step {step}: {ours}, not {wanted}")
        given = [conns[protected].opened, taken(name, conns[protected])]
        logged = log.since()
        more = name in MORE_IN_THE_LOG and logged[0] == given[0] and logged[1] > given[1]
        if logged != given and not more:
            differences += 1
            print(f"differs: {name}: {logged} connections and bytes in the log, not {given}")
        print(f"# cell {group(name)} {'passed' if differences == before else 'failed'}")
    print(f"# {len(names)} scenarios, {differences} differences")
    sys.exit(differences > 0)


if __name__ == "__main__":
    main()
