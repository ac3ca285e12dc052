# SPDX-License-Identifier: GPL-2.0
"""How a client's transfers went on, read from its capture: bytes against time.

Counts only what was new: bytes of the service that the client had not seen, and bytes of its own
that the service had not acknowledged. Judges nothing: that is selftests/wirecheck's work.
"""

import collections
import struct

Step = collections.namedtuple("Step", "time count node client")
"""`count` new bytes at `time` (seconds since the epoch, the client's clock) on the connection of
`client`, by a packet from MAC `node`; with no count, the client has asked for something."""

ETHERTYPE_IPV4, ETHERTYPE_IPV6, TCP = 0x0800, 0x86DD, 6
FIN, SYN, RST, ACK = 0x01, 0x02, 0x04, 0x10


def frames(path):
    """The frames of a classic pcap file: (time, bytes, length on the wire)."""
    with open(path, "rb") as file:
        head = file.read(24)
        magic = struct.unpack("<I", head[:4])[0]
        scale = {0xA1B2C3D4: 1e-6, 0xA1B23C4D: 1e-9}[magic]
        while len(record := file.read(16)) == 16:
            seconds, fraction, captured, length = struct.unpack("<IIII", record)
            yield seconds + fraction * scale, file.read(captured), length


def segments(path, service_port):
    """The service's TCP segments:
    (time, source MAC, whether to the client, client, seq, ack, flags, bytes of payload)."""
    for time, frame, length in frames(path):
        kind = int.from_bytes(frame[12:14], "big")
        if kind == ETHERTYPE_IPV4 and frame[23] == TCP:
            tcp = 14 + (frame[14] & 15) * 4
            addresses = frame[26:30], frame[30:34]
            total = int.from_bytes(frame[16:18], "big")
            # Zero in an aggregate that is too long for the field.
            end = 14 + total if total else length
        elif kind == ETHERTYPE_IPV6 and frame[20] == TCP:
            tcp = 54
            addresses = frame[22:38], frame[38:54]
            total = int.from_bytes(frame[18:20], "big")
            end = tcp + total if total else length
        else:
            continue
        source, target, seq, ack, offset, flags = struct.unpack_from(">HHIIBB", frame, tcp)
        payload = end - tcp - (offset >> 4) * 4
        if source == service_port:
            yield time, frame[6:12], True, (addresses[1], target), seq, ack, flags, payload
        elif target == service_port:
            yield time, frame[6:12], False, (addresses[0], source), seq, ack, flags, payload


class Edge:
    """How far a stream has come, in bytes beyond the first number seen."""

    def __init__(self, number):
        self.number = number

    def advance(self, number):
        """Moves to `number` if that is further; returns by how much."""
        step = (number - self.number) & 0xFFFFFFFF
        if step == 0 or step >= 1 << 31:
            return 0
        self.number = number
        return step


def steps(path, service_port, uploads=False):
    """The transfers of all clients together: a list of Step."""
    edges = {}
    found = []
    for time, mac, to_client, client, seq, ack, flags, length in segments(path, service_port):
        if not to_client:
            if length and not uploads:
                found.append(Step(time, 0, None, client))
            continue
        if flags & SYN:
            # A new connection may use an old port again.
            edges[client] = Edge(ack if uploads else (seq + 1) & 0xFFFFFFFF)
            continue
        number = ack if uploads else (seq + length) & 0xFFFFFFFF
        if uploads and not flags & ACK:
            continue
        count = edges.setdefault(client, Edge(number)).advance(number)
        if count:
            found.append(Step(time, count, mac, client))
    return found


def waits(found, dead):
    """How long the connections that changed their node waited: a sorted list of (seconds, from
    when). `dead` is the MAC of the node that died. What was idle then, and asked only when
    the other node was already serving, has not waited."""
    resumed = min((step.time for step in found if step.count and step.node != dead), default=None)
    begun, waited = {}, []
    for step in found:
        if step.count and step.node != dead:
            begin = begun.pop(step.client, None)
            if begin is not None and begin <= resumed:
                waited.append((step.time - begin, begin))
        elif step.node == dead or step.client in begun:
            begun[step.client] = step.time
    return sorted(waited)
