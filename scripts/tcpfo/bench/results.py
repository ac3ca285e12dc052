# SPDX-License-Identifier: GPL-2.0
"""Documentation/bench/bench.json: each part of the benchmark has a key of its own in it. Beside it
are the pictures."""

import json
import os

FOLDER = "/src/Documentation/bench"
PATH = os.path.join(FOLDER, "bench.json")


def load():
    """All that is in it; nothing before the first part was measured."""
    try:
        with open(PATH, encoding="ascii") as file:
            return json.load(file)
    except FileNotFoundError:
        return {}


def module_commit():
    """The commit of the module, as scripts/bench has found it."""
    return os.environ.get("MODULE_COMMIT", "unknown")


def versions(guest):
    """What was measured: the kernel, and the commit of the module."""
    return {"kernel": guest.run("uname -r").strip(), "module": module_commit()}


def picture(name):
    """Where a picture belongs."""
    return os.path.join(FOLDER, name)


def store(part, figures):
    """Replaces one part."""
    everything = load()
    everything[part] = figures
    os.makedirs(FOLDER, exist_ok=True)
    with open(PATH + ".new", "w", encoding="ascii") as file:
        json.dump(everything, file, indent=1, sort_keys=True)
        file.write("\n")
    os.replace(PATH + ".new", PATH)
