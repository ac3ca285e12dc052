#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""Runs inside a guest: takes commands from the host over a virtio port.

One JSON object a line. The host sends {"id", "run"} (a bash command line), {"id", "kill"} (ends
that command's process group) or {"id", "ping"}; the agent answers with {"id", "out"} as output
comes and one {"id", "rc"} or {"id", "now"} at the end. Several commands may run at once.

Not a security boundary, and it knows nothing of networks or of the module.
"""

import glob
import json
import os
import select
import signal
import subprocess
import threading
import time

PORT_NAME = "tcpfo.agent"


def find_port():
    """The device of the virtio port with our name (there is no udev to make a link)."""
    for name in glob.glob("/sys/class/virtio-ports/*/name"):
        with open(name, encoding="ascii") as file:
            if file.read().strip() == PORT_NAME:
                return "/dev/" + name.split("/")[-2]
    raise SystemExit("agent: no virtio port")


class Agent:
    """The host's hand in this guest."""

    def __init__(self, port):
        self.fd = os.open(port, os.O_RDWR)
        self.write_lock = threading.Lock()
        self.running = {}

    def send(self, **message):
        """One line to the host, whole."""
        data = json.dumps(message).encode() + b"\n"
        with self.write_lock:
            while data:
                data = data[os.write(self.fd, data):]

    def run(self, number, command):
        """Runs one command, passes its output on while it lasts, then its exit code."""
        # pylint: disable=consider-using-with
        process = subprocess.Popen(
            ["/bin/bash", "-c", command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, start_new_session=True)
        self.running[number] = process
        pipe = process.stdout.fileno()
        # A daemon may keep the pipe open for ever: what counts is the end of the command itself.
        exited = os.pidfd_open(process.pid)
        ended = False
        while True:
            ready, _, _ = select.select([pipe] if ended else [pipe, exited], [], [],
                                        0 if ended else None)
            if pipe in ready:
                data = os.read(pipe, 65536)
                if not data:
                    break
                self.send(id=number, out=data.decode(errors="replace"))
            elif ended:
                break
            ended = ended or exited in ready
        code = process.wait()
        os.close(exited)
        process.stdout.close()
        del self.running[number]
        self.send(id=number, rc=code if code >= 0 else 128 - code)

    def handle(self, message):
        """Carries out one line of the host."""
        number = message["id"]
        if "run" in message:
            threading.Thread(target=self.run, args=(number, message["run"]), daemon=True).start()
        elif "kill" in message:
            process = self.running.get(message["kill"])
            if process:
                os.killpg(process.pid, signal.SIGTERM)
            self.send(id=number, rc=0)
        elif "ping" in message:
            self.send(id=number, now=time.time())

    def serve(self):
        """Reads lines for ever."""
        self.send(hello=os.uname().release)
        buffer = b""
        while True:
            data = os.read(self.fd, 65536)
            if not data:
                # Nobody on the host's side (yet, or any more).
                time.sleep(0.05)
                continue
            *lines, buffer = (buffer + data).split(b"\n")
            for line in lines:
                self.handle(json.loads(line))


if __name__ == "__main__":
    Agent(find_port()).serve()
