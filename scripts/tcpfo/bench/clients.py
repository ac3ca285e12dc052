# SPDX-License-Identifier: GPL-2.0
"""What the client's guest does in a benchmark: connections that idle, and downloads that go on.

The programs are those of selftests/programs. Measures nothing.
"""

import time
from collections import namedtuple

from tcpfo.cluster import SERVICE_ADDRESS, wait_said
from tcpfo.guest import GuestError

STARTED = time.monotonic()
# Idle ones come from several addresses: one has not enough ports.
SOURCES = [f"10.77.0.{number}" for number in range(11, 15)]
# Where the service is, the file that it serves as /big, the programs, and what they are told by.
Place = namedtuple("Place", "address port file programs folder")
GUEST = Place(SERVICE_ADDRESS, 80, "/srv/www/big", "/src/selftests/programs", "/tmp")


def say(text):
    """A line of progress, with the seconds since the start."""
    print(f"[{time.monotonic() - STARTED:6.1f}] {text}", flush=True)


class Clients:
    """The client's guest, and what was not as it should be."""

    def __init__(self, guest, place=GUEST):
        self.guest = guest
        self.place = place
        self.failed = []

    def prepare(self):
        """Addresses, ports and the file that is to come."""
        self.guest.run(f"""
            set -e
            mkdir -p /srv/www
            mount -t erofs -o ro /dev/vdb /srv/www
            sysctl -qw net.ipv4.ip_local_port_range='1024 65535'
            for address in {' '.join(SOURCES)}; do ip addr add $address/24 dev br0; done""")

    def note(self, good, what):
        """One thing that has to hold."""
        say(f"   {'' if good else 'FAILED: '}{what}")
        if not good:
            self.failed.append(what)

    def note_takeover(self, seen, downloads, failed):
        """All of so many downloads went on, as the capture shows, and none failed at the node."""
        self.note(len(seen.resumed) == seen.begun == downloads,
                  f"{len(seen.resumed)} of {downloads} went on")
        self.note(failed == 0, f"{failed} failed at the node")

    def open_idle(self, number):
        """Opens connections that idle; returns what `ask_idle` wants."""
        sources = " ".join(f"--source {address}" for address in SOURCES)
        place = self.place
        idlers = self.guest.start_command(f"""
            rm -f {place.folder}/ask; exec python3 {place.programs}/idlers.py \
                --address {place.address} --port {place.port} --file {place.file} {sources} \
                --number {number} --ask {place.folder}/ask""")
        wait_said(idlers, "ready", 1200)
        say("   idle: " + idlers.output.splitlines()[0])
        return idlers

    def ask_idle(self, idlers):
        """Has some of them ask again, and ends them all."""
        self.guest.run(f"touch {self.place.folder}/ask")
        code = idlers.wait(300)
        self.note(code == 0, "idle: " + idlers.output.strip().splitlines()[-1])

    def start_downloads(self, number, under_way):
        """Begins downloads; returns what `stop_downloads` wants when each has so many bytes."""
        place = self.place
        receivers = self.guest.start_command(f"""
            ulimit -n 65536; rm -f {place.folder}/mark {place.folder}/stop
            exec python3 {place.programs}/receivers.py \
                --address {place.address} --port {place.port} --file {place.file} \
                --number {number} --bytes {under_way} --folder {place.folder}""")
        wait_said(receivers, "ready", 300)
        return receivers

    def wait_resumed(self, receivers, timeout=180):
        """To be called when no bytes come: waits until each download has some again."""
        self.guest.run(f"touch {self.place.folder}/mark")
        try:
            wait_said(receivers, "resumed", timeout)
        except GuestError as error:
            self.note(False, f"all go on: {error}")

    def stop_downloads(self, receivers):
        """Ends them."""
        self.guest.run(f"touch {self.place.folder}/stop")
        code = receivers.wait(60)
        self.note(code == 0, receivers.output.strip().splitlines()[-1])
