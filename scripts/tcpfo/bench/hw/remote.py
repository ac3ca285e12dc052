# SPDX-License-Identifier: GPL-2.0
"""A machine that is reached by ssh, or this one, with what a guest (tcpfo.guest.Guest) has for
those who run commands in it. Knows nothing of the module.
"""

import os
import shlex
import subprocess
import tempfile
import threading

from tcpfo.bench.hw.config import LOCAL
from tcpfo.guest import GuestError

# The connection outlives its last command, and us if we are killed, by that many seconds.
OPTIONS = ("-o", "BatchMode=yes", "-o", "LogLevel=ERROR", "-o", "ControlMaster=auto",
           "-o", "ControlPersist=10", "-o", "ConnectTimeout=15")
# Runs $1 in a process group of its own, which ends when the standard input does: so nothing goes on
# when we are gone.
WATCHED = """exec 3<&0
setsid bash -c "$1" </dev/null & pid=$!
{
    trap '' HUP
    read -r -N 1 _ <&3
    # It may not have its group yet.
    until kill -- -$pid || ! kill -0 $pid; do sleep 0.1; done
} >/dev/null 2>&1 & watcher=$!
exec 3<&-
wait $pid; code=$?
kill $watcher
exit $code"""
# Waits for the end of the standard input, or of the connection, and runs $1 then.
AFTERWARDS = """trap '' HUP INT TERM
cat >/dev/null
exec bash -c "$1" </dev/null"""


class Command:
    """A command that runs: `wait()` for its exit code; `output` is what it has printed."""

    def __init__(self, host, script, command):
        self.host = host
        self.output = ""
        self.process = host.popen(shlex.join(["bash", "-c", script, "bash", command]))
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        """Keeps what it prints."""
        for line in self.process.stdout:
            self.output += line.decode(errors="replace")

    @property
    def code(self):
        """The exit code, None before it ends."""
        return self.process.poll()

    def wait(self, timeout=None):
        """Waits for the end; returns the exit code."""
        try:
            code = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise GuestError(f"{self.host.name}: no end after {timeout} s") from None
        self.reader.join(5)
        self.process.stdin.close()
        return code

    def kill(self):
        """Ends its standard input, and so the command."""
        self.process.stdin.close()


class Host:
    """One machine. A context manager: the connection is kept meanwhile."""

    def __init__(self, name, destination):
        self.name = name
        self.destination = destination
        # pylint: disable=consider-using-with
        self.folder = tempfile.TemporaryDirectory()

    def ssh(self, *options):
        """How the machine is reached."""
        path = os.path.join(self.folder.name, "connection")
        return ["ssh", *OPTIONS, "-o", f"ControlPath={path}", *options, "--", self.destination]

    def words(self, command):
        """What is called here for a command line there."""
        return [*self.ssh(), command] if self.is_remote() else ["bash", "-c", command]

    def is_remote(self):
        """Whether there is a connection to be kept."""
        return self.destination != LOCAL

    def __enter__(self):
        if self.is_remote():
            # The connection keeps what it was given to print to.
            with tempfile.TemporaryFile() as said:
                code = subprocess.run([*self.ssh(), "true"], stdin=subprocess.DEVNULL,
                                      stdout=said, stderr=said, check=False).returncode
                said.seek(0)
                text = said.read().decode(errors="replace").strip()
            if code:
                raise GuestError(f"{self.name}: cannot be reached by ssh: {text}")
        return self

    def __exit__(self, *_):
        self.disconnect()
        self.folder.cleanup()

    def disconnect(self):
        """Ends the connection; the next command makes a new one."""
        if self.is_remote():
            subprocess.run(self.ssh("-O", "exit"), stdin=subprocess.DEVNULL, check=False,
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def popen(self, command):
        """Not interrupted by the terminal: who runs it is, and says what is to become of it."""
        return subprocess.Popen(self.words(command), stdin=subprocess.PIPE,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                start_new_session=True)

    def start_command(self, command):
        """Starts a bash command line; does not wait. It ends when this program does."""
        return Command(self, WATCHED, command)

    def afterwards(self, command):
        """A bash command line that runs when this program ends, however it does, or at `kill`."""
        return Command(self, AFTERWARDS, command)

    def run(self, command, timeout=60, check=True):
        """Runs a bash command line; returns its output. Raises when it fails, if `check`."""
        running = self.start_command(command)
        try:
            code = running.wait(timeout)
        except BaseException:
            running.kill()
            raise
        if check and code != 0:
            raise GuestError(f"{self.name}: '{command}' failed ({code}): {running.output}")
        return running.output

    def put(self, path, there):
        """Copies a file of this machine to that one."""
        with open(path, "rb") as file:
            done = subprocess.run(self.words(f"cat >{there}"), stdin=file, check=False,
                                  capture_output=True, start_new_session=True)
        if done.returncode:
            raise GuestError(f"{self.name}: cannot write {there}: {done.stderr.decode()}")

    def fetch(self, there, path):
        """Copies a file of that machine to this one."""
        with open(path, "wb") as file:
            done = subprocess.run(self.words(f"cat {there}"), stdin=subprocess.DEVNULL,
                                  stdout=file, stderr=subprocess.PIPE, check=False,
                                  start_new_session=True)
        if done.returncode:
            raise GuestError(f"{self.name}: cannot read {there}: {done.stderr.decode()}")
