# SPDX-License-Identifier: GPL-2.0
"""Which accelerator QEMU is to use: KVM only where a trial boot has proved it, else TCG.

/dev/kvm may exist and still not run a stock kernel (nested, filtered), so its presence says
nothing. The verdict of the trial is kept until the host boots anew. TCPFO_ACCEL=tcg or kvm in the
environment overrules it. Boots the kernel only as far as its first process would start.
"""

import functools
import os
import subprocess

IMAGES = "/guest"
VERDICT = "/var/cache/tcpfo-kvm"
TRIAL_SECONDS = 15
# The last words of a kernel that was given nothing to run: it has come all the way.
PROOF = b"Unable to mount root fs"

# The plainest processor that the guests' programs run well on: fewer features to emulate.
TCG = ["-accel", "tcg,thread=multi", "-cpu", "Nehalem,+aes,+sha-ni,+rdrand"]
KVM = ["-accel", "kvm", "-cpu", "host"]
# The guest's clock counts instructions, 2 ns each, and skips what it idles: what a guest measures
# does not depend on the host. Copying goes by eight bytes an instruction there, as this processor
# has no fast "rep movsb", of which each byte would count.
COUNTING = ["-accel", "tcg,thread=single", "-icount", "shift=1,sleep=off", *TCG[2:]]


def trial_boot():
    """Does the stock kernel come up under KVM, and soon?"""
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return False
    command = ["qemu-system-x86_64", *KVM, "-nodefaults", "-no-user-config", "-display", "none",
               "-machine", "q35", "-m", "512", "-no-reboot", "-serial", "stdio",
               "-kernel", os.path.join(IMAGES, "vmlinux"),
               "-append", "console=ttyS0 loglevel=1 panic=-1"]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.DEVNULL, timeout=TRIAL_SECONDS, check=False)
        return PROOF in done.stdout
    except subprocess.TimeoutExpired as late:
        return PROOF in (late.stdout or b"")


@functools.cache
def use_kvm():
    """The verdict, from memory or by a trial."""
    wish = os.environ.get("TCPFO_ACCEL")
    if wish:
        return wish == "kvm"
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        boot = file.read().strip()
    try:
        with open(VERDICT, encoding="ascii") as file:
            known, verdict = file.read().split()
        if known == boot:
            return verdict == "yes"
    except (OSError, ValueError):
        pass
    usable = trial_boot()
    with open(VERDICT + f".{os.getpid()}", "w", encoding="ascii") as file:
        file.write(f"{boot} {'yes' if usable else 'no'}\n")
    os.replace(file.name, VERDICT)
    return usable


def arguments(counting=False):
    """QEMU's arguments for the accelerator and the processor."""
    if counting:
        return COUNTING
    return KVM if use_kvm() else TCG
