# SPDX-License-Identifier: GPL-2.0
"""What a client's capture says of a takeover: who spoke when, and how long each connection paused.

All times are those of the client's clock. Connections that had begun before the capture, such as
those that idle, are left out. Judges nothing.
"""

from tcpfo import progress

ETHERTYPE_ARP = 0x0806


class Takeover:
    """One takeover in a capture. `old` and `new` are the nodes' hardware addresses.

    `silent` is when the old node was last heard, `announced` when the new one first claimed the
    address, `spoke` when it first sent a segment, `pauses` {client: seconds} the longest time
    without a new byte that ended after the old node was silent, `resumed` a sorted list of when the
    connections had their first new byte from the new node, and `begun` how many there were.

    A pause that goes on ends when the client ends the connection, at the latest with the capture:
    then it counts as far as it went. One that is but the rest before the next segment is no longer
    than those that have ended, which count as well.
    """

    def __init__(self, path, port, old, new):
        self.silent = self.announced = self.spoke = None
        self.ends, self.end = {}, None
        clients = self.read_segments(path, port, old, new)
        self.begun = len(clients)
        self.read_announcements(path, new)
        self.pauses = {}
        self.first = {}
        self.steps = [step for step in progress.steps(path, port)
                      if step.count and step.client in clients]
        last = {}
        for step in self.steps:
            if step.client in last and step.time > self.silent:
                self.note_pause(step.client, step.time - last[step.client])
            last[step.client] = step.time
            if step.node == new:
                self.first.setdefault(step.client, step.time)
        for client, time in last.items():
            self.note_pause(client, self.ends.get(client, self.end) - time)
        self.resumed = sorted(self.first.values())

    def note_pause(self, client, pause):
        """Keeps it if it is the longest one of that connection."""
        self.pauses[client] = max(pause, self.pauses.get(client, 0.0))

    def pauses_ms(self):
        """All pauses in milliseconds, the shortest first."""
        return sorted(round(1000 * pause, 1) for pause in self.pauses.values())

    def read_segments(self, path, port, old, new):
        """Notes who spoke, and when clients ended; returns those whose connections begin in the
        capture."""
        clients = set()
        for time, mac, to_client, client, _, _, flags, _ in progress.segments(path, port):
            self.end = time
            if not to_client:
                if flags & (progress.FIN | progress.RST):
                    self.ends.setdefault(client, time)
                continue
            if mac == old:
                self.silent = time
                if flags & progress.SYN:
                    clients.add(client)
            elif mac == new and self.silent and self.spoke is None:
                self.spoke = time
        return clients

    def read_announcements(self, path, new):
        """Notes when the new node claimed the address."""
        for time, frame, _ in progress.frames(path):
            is_arp = int.from_bytes(frame[12:14], "big") == ETHERTYPE_ARP
            # Sender and target are the same in a claim.
            if is_arp and frame[6:12] == new and frame[28:32] == frame[38:42] \
                    and time > self.silent:
                self.announced = time
                return


def spread(values):
    """The median, the 99th percentile and the maximum of some numbers."""
    values = sorted(values)
    if not values:
        return {}
    return {"count": len(values), "p50": values[(len(values) - 1) // 2],
            "p99": values[-(-len(values) * 99 // 100) - 1], "max": values[-1]}
