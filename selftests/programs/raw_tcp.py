# SPDX-License-Identifier: GPL-2.0
"""TCP segments made by hand, from an address that no kernel knows: nothing answers for it but the
program itself. IPv4 or IPv6, on an Ethernet device; who has the address has to be told by other
means.
"""

import collections
import hashlib
import re
import select
import socket
import struct
import time

from addresses import family_of

FIN, SYN, RST, PSH, ACK, URG = 1, 2, 4, 8, 16, 32
ETH_P_ALL = 3
ETHERTYPE = {socket.AF_INET: b"\x08\x00", socket.AF_INET6: b"\x86\xdd"}
ICMPV6, ADVERTISEMENT = 58, 136
PACKET_OUTGOING = 4
WINDOW = 65535
MSS = b"\x02\x04\x05\xb4"
MASK = 0xffffffff

Answer = collections.namedtuple("Answer", "source dest seq ack flags window options payload")


def checksum(data):
    """The Internet checksum."""
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def binary(address):
    """An address as it stands in packets."""
    return socket.inet_pton(family_of(address), address)


def packet(source, dest, payload, ident=0, offset=None, more=False):
    """A packet, or a fragment of one if there is an `offset`, in bytes."""
    if family_of(source) == socket.AF_INET:
        return ipv4(source, dest, payload, ident, offset or 0, more)
    return ipv6(source, dest, payload, ident, offset, more)


def ipv6(source, dest, payload, ident, offset, more):
    """The same of IPv6."""
    protocol = socket.IPPROTO_TCP
    if offset is not None:
        payload = struct.pack("!BBHI", protocol, 0, offset | more, ident) + payload
        protocol = socket.IPPROTO_FRAGMENT
    return struct.pack("!IHBB", 6 << 28, len(payload), protocol, 64) + binary(source) + binary(
        dest) + payload


def ipv4(source, dest, payload, ident, offset, more):
    """The same of IPv4."""
    header = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), ident,
                         offset // 8 | (0x2000 if more else 0), 64, socket.IPPROTO_TCP, 0,
                         binary(source), binary(dest))
    return header[:10] + struct.pack("!H", checksum(header)) + header[12:] + payload


def segment(source, dest, ports, numbers, flags, payload=b"", options=b"", window=WINDOW, **lies):
    """A segment, with the checksum that belongs to it, if `sum` is not another one. `offset` is
    what it says of its header's length, in words."""
    options += b"\0" * (-len(options) % 4)
    offset = lies.get("offset", 5 + len(options) // 4)
    data = struct.pack("!HHIIBBHHH", *ports, *(number & MASK for number in numbers),
                       (offset & 15) << 4, flags, window, 0, 0) + options + payload
    # That of IPv4 has the same sum.
    pseudo = binary(source) + binary(dest) + struct.pack("!II", socket.IPPROTO_TCP, len(data))
    right = checksum(pseudo + data)
    return data[:16] + struct.pack("!H", lies.get("sum", right)) + data[18:]


def parse(data):
    """The segment in a packet."""
    if data[0] >> 4 == 4:
        length, = struct.unpack_from("!H", data, 2)
        data = data[(data[0] & 15) * 4:length]
    else:
        length, = struct.unpack_from("!H", data, 4)
        data = data[40:40 + length]
    source, dest, seq, ack, offset, flags, window = struct.unpack_from("!HHIIBBH", data)
    begin = (offset >> 4) * 4
    return Answer(source, dest, seq, ack, flags, window, data[20:begin], data[begin:])


def flags_of(data):
    """The flags of the segment in a packet, which may be cut off."""
    at = 33 if data[0] >> 4 == 4 else 53
    return data[at] if len(data) > at else 0


class Link:
    """The device, the address that is ours, and the service's."""

    def __init__(self, device, address, service, mac):
        self.address = address
        self.service = service
        self.mac = bytes.fromhex(mac.replace(":", ""))
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
        self.socket.bind((device, ETH_P_ALL))
        self.own = self.socket.getsockname()[4]
        self.ethertype = ETHERTYPE[family_of(address)]

    def frame(self, data):
        """A packet on its way to the service."""
        return self.mac + self.own + self.ethertype + data

    def send(self, data):
        """Sends a packet to the service."""
        self.socket.send(self.frame(data))

    def receive(self, quiet, limit=3.0):
        """Yields what the service sends us, until it has been quiet for some seconds."""
        end = time.monotonic() + limit
        until = time.monotonic() + quiet
        while time.monotonic() < min(until, end):
            left = min(until, end) - time.monotonic()
            if not select.select([self.socket], [], [], max(0, left))[0]:
                return
            frame, (_, _, kind, _, _) = self.socket.recvfrom(65536)
            if kind == PACKET_OUTGOING:
                continue
            self.learn(frame)
            if self.is_ours(frame):
                yield parse(frame[14:])
                until = time.monotonic() + quiet

    def is_ours(self, frame):
        """Whether it is TCP for our address."""
        if frame[12:14] != self.ethertype:
            return False
        protocol, dest = (23, 30) if self.ethertype == ETHERTYPE[socket.AF_INET] else (20, 38)
        return (frame[protocol] == socket.IPPROTO_TCP
                and frame[dest:].startswith(binary(self.address)))

    def learn(self, frame):
        """Another node may say that the service's address is its own."""
        service = binary(self.service)
        if frame[12:14] == b"\x08\x06" and frame[28:32] == service:
            self.mac = frame[22:28]
        elif (frame[12:14] == ETHERTYPE[socket.AF_INET6] and frame[20] == ICMPV6
              and frame[54] == ADVERTISEMENT and frame[62:78] == service):
            self.mac = frame[6:12]


class Connection:
    """Our end of a connection, in whatever state we like; numbers count from the first ones."""

    def __init__(self, link, port, to, iss):
        self.link = link
        self.ports = (port, to)
        self.iss = iss
        self.irs = 0
        # The next byte of either side, and the highest acknowledgement that has come.
        self.next = 1
        self.expected = 1
        self.acked = 0
        self.opened = 0
        self.stream = b""

    def raw(self, flags, payload=b"", seq=None, ack=None, **more):
        """A segment of it; in order, if nothing else is said."""
        numbers = (self.iss + (self.next if seq is None else seq),
                   self.irs + (self.expected if ack is None else ack) if flags & ACK else 0)
        return segment(self.link.address, self.link.service, self.ports, numbers, flags, payload,
                       **more)

    def packet(self, *what, **more):
        """The same, in a packet."""
        return packet(self.link.address, self.link.service, self.raw(*what, **more))

    def hear(self, answer):
        """Takes in what came."""
        if answer.flags & RST:
            return
        if answer.flags & SYN:
            self.opened += self.irs != answer.seq
            self.irs = answer.seq
        if answer.flags & ACK:
            self.acked = max(self.acked, (answer.ack - self.iss + (1 << 31) & MASK) - (1 << 31))
        place = answer.seq - self.irs & MASK
        if place <= self.expected < place + len(answer.payload):
            self.stream += answer.payload[self.expected - place:]
            self.expected = place + len(answer.payload)
        if answer.flags & FIN and place + len(answer.payload) == self.expected:
            self.expected += 1

    def told(self, answers, exact, asked):
        """What the answers come to, the same for whoever gives the same ones.

        How often bare acknowledgements come is part of it only if `exact`: where bytes were taken
        it is a matter of time. So is, unless a SYN has `asked` for it, whether a SYN-ACK comes
        again.
        """
        resets, syns, bare, end, payload = [], set(), [], None, {}
        for answer in answers:
            seq, ack = answer.seq - self.irs & MASK, answer.ack - self.iss & MASK
            if answer.flags & RST:
                # Numbers that are not ours are those that we have sent.
                seq = "own" if answer.seq else 0
                resets.append((answer.flags, seq, ack if answer.flags & ACK else 0))
            elif answer.flags & SYN:
                if asked:
                    options = re.sub(rb"\x08\x0a.{8}", b"timestamps", answer.options,
                                     flags=re.DOTALL)
                    syns.add((answer.flags, ack, options))
            elif answer.payload or answer.flags & FIN:
                payload[seq] = answer.payload
                if answer.flags & FIN:
                    end = seq + len(answer.payload)
            else:
                bare.append(ack)
        data = re.sub(rb"Date: [^\r]*", b"Date:", b"".join(payload[at] for at in sorted(payload)))
        return (resets, sorted(syns), end, hashlib.sha256(data).hexdigest() if data else "",
                bare if exact else max(bare, default=None) if not data else None)
