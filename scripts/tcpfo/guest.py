# SPDX-License-Identifier: GPL-2.0
"""One QEMU guest of the stock kernel: boot it, run commands in it, keep its serial console.

Runs inside the sandbox. Every line of the serial console is stamped with the host's clock and
kept in a file. Knows nothing of clusters or of the module.
"""

import io
import json
import os
import socket
import subprocess
import threading
import time

from tcpfo import accel
from tcpfo import klog

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
    """A guest: booted at once, and again by `restart`. Leaving it as a context ends QEMU.

    `nics` are (MAC, options of QEMU's -netdev without the id) pairs, `disks` read-only raw images
    that become /dev/vdb, ...; `shell`, a terminal's type and a file of commands, is an interactive
    shell on this terminal instead of the agent; `counting`: its clock counts instructions.
    """

    def __init__(self, name, memory=768, cpus=1, nics=(), disks=(), out="/out", shell=None,
                 counting=False):
        self.name = name
        self.memory = memory
        self.cpus = cpus
        self.nics = nics
        self.disks = disks
        self.out = out
        self.shell = shell
        self.counting = counting
        self.serial_path = os.path.join(out, name + ".serial")
        self.on_line = []
        self.lock = threading.Lock()
        os.makedirs(out, exist_ok=True)
        if os.path.exists(self.serial_path):
            os.unlink(self.serial_path)
        self.boot()

    def arguments(self, initramfs, serial, agent, monitor):
        """QEMU's command line; the parameters are file descriptors."""
        words = ["console=ttyS0,115200", "panic=0", "loglevel=5", "mitigations=off", "nokaslr",
                 "audit=0", "apparmor=0", "cryptomgr.notests", f"tcpfo.name={self.name}"]
        arguments = [
            "qemu-system-x86_64", "-name", self.name, "-nodefaults", "-no-user-config",
            "-display", "none", "-machine", "q35", "-m", str(self.memory),
            "-smp", str(self.cpus), *accel.arguments(self.counting),
            "-kernel", os.path.join(IMAGES, "vmlinux"), "-initrd", f"/dev/fd/{initramfs}",
            "-chardev", f"socket,id=serial,fd={serial}", "-serial", "chardev:serial",
            "-chardev", f"socket,id=monitor,fd={monitor}", "-qmp", "chardev:monitor",
            "-device", "virtio-serial-pci",
            "-chardev", f"socket,id=agent,fd={agent}",
            "-device", "virtserialport,chardev=agent,name=tcpfo.agent",
            "-object", "rng-random,id=rng,filename=/dev/urandom",
            "-device", "virtio-rng-pci,rng=rng",
            "-fsdev", "local,id=src,path=/src,security_model=none,readonly=on",
            "-device", "virtio-9p-pci,fsdev=src,mount_tag=src",
            "-fsdev", f"local,id=out,path={self.out},security_model=none",
            "-device", "virtio-9p-pci,fsdev=out,mount_tag=out",
        ]
        if self.counting:
            # No other clock has watched this one: it is right by construction. And SELinux, which
            # apparmor=0 lets in, is not what Debian runs with.
            words += ["tsc=reliable", "lsm=landlock,yama,integrity"]
        if self.shell:
            terminal, first = self.shell
            words.append(f"tcpfo.shell={terminal}")
            arguments += ["-chardev", "stdio,id=shell,signal=off",
                          "-device", "virtconsole,chardev=shell",
                          "-fw_cfg", f"name=opt/tcpfo.shell,file={first}"]
        for number, path in enumerate((os.path.join(IMAGES, "root.erofs"), *self.disks)):
            arguments += ["-drive", f"id=disk{number},file={path},format=raw,if=none,readonly=on,"
                                    "file.locking=off",
                          "-device", f"virtio-blk-pci,drive=disk{number}"]
        for number, (mac, wire) in enumerate(self.nics):
            arguments += ["-netdev", f"{wire},id=net{number}",
                          "-device", f"virtio-net-pci,netdev=net{number},mac={mac}"]
        return arguments + ["-append", " ".join(words)]

    def boot(self):
        """Starts QEMU and the threads that listen to it."""
        self.numbers = 0
        self.commands = {}
        self.ready = threading.Event()
        serial, serial_remote = socket.socketpair()
        self.agent, agent_remote = socket.socketpair()
        self.monitor, monitor_remote = socket.socketpair()
        passed = [make_initramfs()]
        passed += [end.fileno() for end in (serial_remote, agent_remote, monitor_remote)]
        # pylint: disable=consider-using-with
        self.errors = open(os.path.join(self.out, self.name + ".qemu"), "w+b")
        self.process = subprocess.Popen(
            self.arguments(*passed), pass_fds=passed,
            stdin=None if self.shell else subprocess.DEVNULL,
            stdout=None if self.shell else self.errors, stderr=self.errors)
        os.close(passed[0])
        for end in (serial_remote, agent_remote, monitor_remote):
            end.close()
        self.threads = [threading.Thread(target=self.read_serial, args=(serial,), daemon=True),
                        threading.Thread(target=self.read_agent, args=(self.agent,), daemon=True)]
        for thread in self.threads:
            thread.start()
        self.monitor_lines = self.monitor.makefile("rb")
        self.monitor_command("qmp_capabilities")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def read_serial(self, serial):
        """Keeps the console: each line with the host's time, in seconds since the epoch."""
        with open(self.serial_path, "a", encoding="utf-8") as file, \
                serial.makefile("rb") as lines:
            file.write(f"{time.time():.6f} {klog.BOOTED}\n")
            for line in lines:
                now = time.time()
                text = line.decode(errors="replace").rstrip("\r\n")
                file.write(f"{now:.6f} {text}\n")
                file.flush()
                for callback in self.on_line:
                    callback(now, text)

    def read_agent(self, agent):
        """Sorts what the agent says to the commands it belongs to."""
        with agent.makefile("rb") as port:
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
            raise GuestError(f"{self.name} did not boot, see {self.serial_path} "
                             f"{self.last_words()}")

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

    def monitor_command(self, name, **arguments):
        """Tells QEMU itself something, such as `stop`, `cont` or `set_link`."""
        request = {"execute": name, "arguments": arguments}
        try:
            self.monitor.sendall(json.dumps(request).encode() + b"\n")
            for line in self.monitor_lines:
                answer = json.loads(line)
                if "error" in answer:
                    raise GuestError(f"{self.name}: {name}: {answer['error']['desc']}")
                if "return" in answer:
                    return answer["return"]
        except OSError:
            pass
        raise GuestError(f"{self.name}: QEMU is gone {self.last_words()}")

    def last_words(self):
        """What QEMU itself has said."""
        with open(self.errors.name, encoding="utf-8", errors="replace") as file:
            return file.read().strip()

    def crash(self, timeout=20):
        """Kills the kernel by a panic; returns the host's time of it.

        QEMU ends as soon as the kernel is dead: its last loop would keep a host core busy, and its
        wires would hold packets back where a dead machine's lose them.
        """
        crashed, dead = threading.Event(), threading.Event()
        when = []

        def watch(now, text):
            if klog.EXPECTED_CRASH.search(text):
                when.append(now)
                crashed.set()
            elif klog.PANIC.search(text):
                dead.set()

        self.on_line.append(watch)
        self.start_command("echo c >/proc/sysrq-trigger")
        if not crashed.wait(timeout):
            raise GuestError(f"{self.name} does not crash")
        dead.wait(0.2)
        self.on_line.remove(watch)
        self.process.kill()
        self.stop()
        return when[0]

    def restart(self):
        """Boots the machine anew, on the same wires."""
        self.stop()
        self.boot()
        self.wait_ready()

    def stop(self):
        """Ends QEMU at once: nothing in a guest outlives it. Once more does nothing."""
        if self.process.poll() is None:
            try:
                self.monitor_command("quit")
                self.process.wait(5)
            except (GuestError, OSError, subprocess.TimeoutExpired):
                self.process.kill()
                self.process.wait()
        for thread in self.threads:
            thread.join(5)
        self.errors.close()
        if os.path.exists(self.errors.name) and os.path.getsize(self.errors.name) == 0:
            os.unlink(self.errors.name)
