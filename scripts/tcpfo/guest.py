# SPDX-License-Identifier: GPL-2.0
"""One QEMU guest of the stock kernel: boot it, run commands in it, keep its serial console.

Runs inside the sandbox. Every line of the serial console is stamped with the host's clock and
kept in a file. Knows nothing of clusters or of the module.
"""

import io
import os
import socket
import subprocess
import threading
import time

from tcpfo import accel

IMAGES = "/guest"
HERE = os.path.dirname(os.path.abspath(__file__))


class GuestError(Exception):
    """A guest did not do what it was told."""


def cpio(files):
    """A newc archive of {name: bytes}, to be appended to the initramfs."""
    out = io.BytesIO()
    for number, (name, data) in enumerate(list(files.items()) + [("TRAILER!!!", b"")]):
        fields = [number + 1, 0o100755, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0]
        out.write(b"070701" + b"".join(b"%08X" % field for field in fields))
        out.write(name.encode() + b"\0")
        out.write(b"\0" * (-out.tell() % 4))
        out.write(data)
        out.write(b"\0" * (-out.tell() % 4))
    return out.getvalue()


def make_initramfs():
    """The image's initramfs with this checkout's init in it; returns a file descriptor."""
    fd = os.memfd_create("initramfs", 0)
    with open(os.path.join(IMAGES, "initramfs.cpio"), "rb") as file:
        os.write(fd, file.read())
    with open(os.path.join(HERE, "initramfs-init"), "rb") as file:
        os.write(fd, cpio({"init": file.read()}))
    return fd


class Command:
    """A command that runs in a guest; `wait()` for its exit code, `output` is what it printed."""

    def __init__(self, guest, number, sink):
        self.guest = guest
        self.number = number
        self.sink = sink
        self.output = ""
        self.code = None
        self.done = threading.Event()

    def wait(self, timeout=None):
        """Waits for the end; returns the exit code."""
        if not self.done.wait(timeout):
            raise GuestError(f"{self.guest.name}: no end after {timeout} s")
        if self.code is None:
            raise GuestError(f"{self.guest.name}: the guest is gone")
        return self.code

    def kill(self):
        """Ends the command's process group."""
        self.guest.request("kill", str(self.number))


class Guest:
    """A running guest. Use as a context manager: leaving it ends QEMU.

    `nics` are (mac, socket) pairs, `disks` are read-only raw images that become /dev/vdb, ...
    """

    def __init__(self, name, memory=768, cpus=1, nics=(), disks=(), out="/out", shell=None,
                 extra=()):
        self.name = name
        self.out = out
        self.serial_path = os.path.join(out, name + ".serial")
        self.started = time.time()
        self.on_line = []
        self.numbers = 0
        self.commands = {}
        self.ready = threading.Event()
        self.lock = threading.Lock()
        os.makedirs(out, exist_ok=True)

        initramfs = make_initramfs()
        serial, serial_remote = socket.socketpair()
        self.agent, agent_remote = socket.socketpair()
        passed = [initramfs, serial_remote.fileno(), agent_remote.fileno()]
        words = ["console=ttyS0,115200", "panic=0", "loglevel=5", "mitigations=off",
                 "nokaslr", "audit=0", "apparmor=0", "cryptomgr.notests", f"tcpfo.name={name}"]
        if shell:
            words.append(f"tcpfo.shell={shell}")
        arguments = [
            "qemu-system-x86_64", "-name", name, "-nodefaults", "-no-user-config",
            "-display", "none", "-machine", "q35", "-m", str(memory), "-smp", str(cpus),
            *accel.arguments(), "-no-reboot", "-action", "panic=pause", "-device", "pvpanic-pci",
            "-kernel", os.path.join(IMAGES, "vmlinux"), "-initrd", f"/dev/fd/{initramfs}",
            "-append", " ".join(words),
            "-chardev", f"socket,id=serial,fd={serial_remote.fileno()}",
            "-serial", "chardev:serial",
            "-device", "virtio-serial-pci",
            "-chardev", f"socket,id=agent,fd={agent_remote.fileno()}",
            "-device", "virtserialport,chardev=agent,name=tcpfo.agent",
            "-object", "rng-random,id=rng,filename=/dev/urandom",
            "-device", "virtio-rng-pci,rng=rng",
            "-fsdev", "local,id=src,path=/src,security_model=none,readonly=on",
            "-device", "virtio-9p-pci,fsdev=src,mount_tag=src",
            "-fsdev", f"local,id=out,path={out},security_model=none",
            "-device", "virtio-9p-pci,fsdev=out,mount_tag=out",
        ]
        if shell:
            arguments += ["-chardev", "stdio,id=shell,signal=off",
                          "-device", "virtconsole,chardev=shell"]
        for number, path in enumerate((os.path.join(IMAGES, "root.erofs"), *disks)):
            arguments += ["-drive", f"id=disk{number},file={path},format=raw,if=none,readonly=on",
                          "-device", f"virtio-blk-pci,drive=disk{number}"]
        for number, (mac, wire) in enumerate(nics):
            passed.append(wire.fileno())
            arguments += ["-netdev", f"stream,id=net{number},addr.type=fd,"
                                     f"addr.str={wire.fileno()},server=off",
                          "-device", f"virtio-net-pci,netdev=net{number},mac={mac}"]
        # pylint: disable=consider-using-with
        self.errors = open(os.path.join(out, name + ".qemu"), "w+b")
        self.process = subprocess.Popen(
            arguments + list(extra), pass_fds=passed, stdin=None if shell else subprocess.DEVNULL,
            stdout=None if shell else self.errors, stderr=self.errors)
        os.close(initramfs)
        serial_remote.close()
        agent_remote.close()
        for _, wire in nics:
            wire.close()
        self.threads = [threading.Thread(target=self.read_serial, args=(serial,), daemon=True),
                        threading.Thread(target=self.read_agent, daemon=True)]
        for thread in self.threads:
            thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def read_serial(self, serial):
        """Keeps the console: each line with the host's time, in seconds since the epoch."""
        with open(self.serial_path, "w", encoding="utf-8") as file, \
                serial.makefile("rb") as lines:
            for line in lines:
                now = time.time()
                text = line.decode(errors="replace").rstrip("\r\n")
                file.write(f"{now:.6f} {text}\n")
                file.flush()
                for callback in self.on_line:
                    callback(now, text)

    def read_agent(self):
        """Sorts what the agent says to the commands it belongs to."""
        with self.agent.makefile("rb") as port:
            while header := port.readline():
                number, word, length = header.split()
                self.answer(int(number), word, port.read(int(length)).decode(errors="replace"))
        self.ready.set()
        for command in list(self.commands.values()):
            command.done.set()

    def answer(self, number, word, payload):
        """One message of the agent."""
        if word == b"hello":
            self.ready.set()
            return
        command = self.commands.get(number)
        if command is None:
            return
        if word == b"out":
            command.output += payload
            if command.sink:
                command.sink(payload)
        else:
            command.code = float(payload) if word == b"now" else int(payload)
            del self.commands[number]
            command.done.set()

    def request(self, word, payload="", sink=None):
        """Sends one message to the agent; returns the Command that its answer will complete."""
        data = payload.encode()
        with self.lock:
            self.numbers += 1
            command = Command(self, self.numbers, sink)
            self.commands[command.number] = command
            self.agent.sendall(f"{command.number} {word} {len(data)}\n".encode() + data)
        return command

    def wait_ready(self, timeout=90):
        """Waits until the agent answers."""
        if not self.ready.wait(timeout) or self.process.poll() is not None:
            self.errors.seek(0)
            said = self.errors.read().decode(errors="replace").strip()
            raise GuestError(f"{self.name} did not boot, see {self.serial_path} {said}")

    def start_command(self, command, sink=None):
        """Starts a bash command line; does not wait."""
        return self.request("run", command, sink)

    def run(self, command, timeout=60, check=True):
        """Runs a bash command line; returns its output. Raises when it fails, if `check`."""
        running = self.start_command(command)
        code = running.wait(timeout)
        if check and code != 0:
            raise GuestError(f"{self.name}: '{command}' failed ({code}): {running.output}")
        return running.output

    def clock_offset(self):
        """Guest clock minus host clock in seconds, from the quickest of some round trips."""
        best = None
        for _ in range(8):
            before = time.time()
            command = self.request("ping")
            command.wait(10)
            after = time.time()
            if best is None or after - before < best[0]:
                best = (after - before, command.code - (before + after) / 2)
        return best[1]

    def stop(self):
        """Ends QEMU at once: nothing in a guest outlives it."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        for thread in self.threads:
            thread.join(5)
        self.errors.close()
        if os.path.getsize(self.errors.name) == 0:
            os.unlink(self.errors.name)
