# SPDX-License-Identifier: GPL-2.0
"""The command line of one guest: see scripts/guest."""

import argparse
import os
import shlex
import shutil
import sys
import tempfile

from tcpfo import klog
from tcpfo.guest import Guest, GuestError

LOG_NOT_CLEAN = 125


def write(text):
    """Passes the guest's output on as it comes."""
    sys.stdout.write(text)
    sys.stdout.flush()


def main():
    """Boots, runs, reports."""
    parser = argparse.ArgumentParser(prog="guest")
    parser.add_argument("--name", default="guest")
    parser.add_argument("--memory", type=int, default=1024)
    parser.add_argument("--cpus", type=int, default=1)
    parser.add_argument("--timeout", type=float)
    parser.add_argument("--counting", action="store_true")
    parser.add_argument("--shell", action="store_true")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    words = options.command[1:] if options.command[:1] == ["--"] else options.command
    command = words[0] if len(words) == 1 else shlex.join(words)
    if options.shell:
        sys.exit(shell(options, command))
    if not command:
        parser.error("no command")
    with Guest(options.name, memory=options.memory, cpus=options.cpus,
               counting=options.counting) as guest:
        guest.wait_ready()
        code = guest.start_command(command, sink=write).wait(options.timeout)
        path = guest.serial_path
    reports = klog.reports(path)
    for line in reports:
        print("kernel log:", line, file=sys.stderr)
    sys.exit(LOG_NOT_CLEAN if reports and code == 0 else code)


def shell(options, command):
    """A guest whose second console is this terminal; its shell runs the command first."""
    size = shutil.get_terminal_size()
    first = f"stty rows {size.lines} cols {size.columns}\nPS1='\\h:\\w# '\n{command}\n"
    say = f"booting; serial console in {options.name}.serial, exit ends the guest"
    print(say, file=sys.stderr)
    with tempfile.NamedTemporaryFile("w") as file:
        file.write(first)
        file.flush()
        with Guest(options.name, memory=options.memory, cpus=options.cpus,
                   shell=(os.environ.get("TERM", "dumb"), file.name)) as guest:
            return guest.process.wait()


if __name__ == "__main__":
    try:
        main()
    except GuestError as error:
        sys.exit(f"error: {error}")
