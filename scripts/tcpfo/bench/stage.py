# SPDX-License-Identifier: GPL-2.0
"""Where the wall clock's benchmarks take place, and where their results go. Measures nothing."""

import contextlib
import json
import os
import shutil
import tempfile

from tcpfo.cluster import Cluster
from tcpfo.workload import make_data


@contextlib.contextmanager
def stage(out, memory):
    """An empty folder for artefacts, and (cluster, hashes of the files that its nodes serve)."""
    shutil.rmtree(out, ignore_errors=True)
    os.makedirs(out)
    with tempfile.TemporaryDirectory() as folder:
        image, hashes = make_data(folder)
        with Cluster(out, disks=[image], memory=memory, client_memory=memory) as cluster:
            yield cluster, hashes


def keep(path, result):
    """Writes JSON."""
    with open(path, "w", encoding="ascii") as file:
        json.dump(result, file, indent=1)
