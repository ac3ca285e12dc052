#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Runs inside a guest: takes commands from the host over a virtio port.

A message either way is a line `NUMBER WORD LENGTH` and LENGTH bytes. The host sends `run` (a bash
command line), `kill` (ends the process group of the command of that number) and `ping`. The agent
answers a run with `out` as output comes and one `rc` at the end, a ping with `now`. Several
commands may run at once.

Imports little: on an emulated processor each module of the standard library costs a tenth of a
second of boot. Not a security boundary; knows nothing of networks or of the tcp_failover module.
"""

import os
import select
import threading
import time

PORT_NAME = "tcpfo.agent"
SIGTERM = 15


def find_port():
    """The device of the virtio port with our name (there is no udev to make a link)."""
    top = "/sys/class/virtio-ports"
    for port in os.listdir(top):
        with open(f"{top}/{port}/name", encoding="ascii") as file:
            if file.read().strip() == PORT_NAME:
                return "/dev/" + port
    raise SystemExit("agent: no virtio port")


class Agent:
    """The host's hand in this guest."""

    def __init__(self, port):
        self.fd = os.open(port, os.O_RDWR)
        self.null = os.open(os.devnull, os.O_RDONLY)
        self.write_lock = threading.Lock()
        self.running = {}

    def send(self, number, word, payload=b""):
        """One message to the host, whole."""
        data = b"%d %s %d\n" % (number, word, len(payload)) + payload
        with self.write_lock:
            while data:
                data = data[os.write(self.fd, data):]

    def run(self, number, command):
        """Runs one command, passes its output on while it lasts, then its exit code."""
        pipe, writer = os.pipe()
        process = os.posix_spawn("/bin/bash", ["bash", "-c", command], os.environ, setsid=True,
                                 file_actions=[(os.POSIX_SPAWN_DUP2, self.null, 0),
                                               (os.POSIX_SPAWN_DUP2, writer, 1),
                                               (os.POSIX_SPAWN_DUP2, writer, 2)])
        os.close(writer)
        self.running[number] = process
        # A daemon may keep the pipe open for ever: what counts is the end of the command itself.
        exited = os.pidfd_open(process)
        ended = False
        while True:
            ready, _, _ = select.select([pipe] if ended else [pipe, exited], [], [],
                                        0 if ended else None)
            if pipe in ready:
                data = os.read(pipe, 65536)
                if not data:
                    break
                self.send(number, b"out", data)
            elif ended:
                break
            ended = ended or exited in ready
        _, status = os.waitpid(process, 0)
        del self.running[number]
        os.close(exited)
        os.close(pipe)
        code = os.waitstatus_to_exitcode(status)
        self.send(number, b"rc", b"%d" % (code if code >= 0 else 128 - code))

    def handle(self, number, word, payload):
        """Carries out one message of the host."""
        if word == "run":
            threading.Thread(target=self.run, args=(number, payload.decode()), daemon=True).start()
        elif word == "kill":
            process = self.running.get(int(payload))
            if process:
                os.killpg(process, SIGTERM)
            self.send(number, b"rc", b"0")
        elif word == "ping":
            self.send(number, b"now", b"%f" % time.time())

    def serve(self):
        """Reads messages for ever."""
        self.send(0, b"hello")
        with os.fdopen(self.fd, "rb", closefd=False) as port:
            while True:
                header = port.readline()
                if not header:
                    raise SystemExit("agent: the host is gone")
                number, word, length = header.split()
                self.handle(int(number), word.decode(), port.read(int(length)))


if __name__ == "__main__":
    Agent(find_port()).serve()
