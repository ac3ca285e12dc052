# SPDX-License-Identifier: GPL-2.0
"""Is a guest's kernel log healthy? Reads the serial console as Guest keeps it.

Knows the kernel's reports, not the module's own messages.
"""

import re

REPORT = re.compile(
    r"WARNING: |\bBUG: |\bBUG\b.* at |kernel BUG|Oops|general protection fault|"
    r"Kernel panic|panicked at|unable to handle|possible circular locking|"
    r"possible recursive locking|inconsistent lock state|suspicious RCU usage|"
    r"rcu: INFO: |INFO: task .* blocked|soft lockup|hard LOCKUP|KASAN|KCSAN|UBSAN|kmemleak: \d|"
    r"refcount_t: |list_(add|del) corruption|scheduling while atomic|sleeping function called|"
    r"unregister_netdevice: waiting|Call Trace|Workqueue.*lockup|Bad page state|"
    r"DEBUG_LOCKS_WARN|nf_conntrack: .*BUG|Attempted to kill init")
# What Guest writes where a boot begins.
BOOTED = "-- boot --"
PANIC = re.compile(r"Kernel panic")
EXPECTED_CRASH = re.compile(r"sysrq: Trigger a crash")


def reports(path):
    """The lines of a serial log that report trouble in the kernel.

    What follows a crash asked for by sysrq is not trouble, until the guest boots again.
    """
    found = []
    dead = False
    with open(path, encoding="utf-8", errors="replace") as file:
        for line in file:
            if EXPECTED_CRASH.search(line):
                dead = True
            elif BOOTED in line:
                dead = False
            if not dead and REPORT.search(line):
                found.append(line.rstrip("\n"))
    return found
