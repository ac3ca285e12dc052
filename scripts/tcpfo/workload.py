# SPDX-License-Identifier: GPL-2.0
"""What the client does in the demo and the crash tests: download, upload, many at once.

Server and client are Debian's nginx and curl, unmodified. A workload starts the client's work,
tells when half of it is done, and says afterwards what the client and the files look like. It
neither kills anything nor knows of the module.
"""

import hashlib
import os
import re
import subprocess

from tcpfo.cluster import CLIENT_ADDRESS, SERVICE_ADDRESS, wait_said
from tcpfo.guest import GuestError

SIZE = 120_000_000
PARTS = 200
IDLE, IDLE_SECONDS = 50, 40
# A client that only receives would wait for a dead server for ever; curl asks after two seconds
# of silence.
CURL = "curl -sS --keepalive-time 2"
NGINX_SITE = """
server {
	listen 80;
	root /srv/www;
	keepalive_timeout 600s;
	client_max_body_size 0;
	location /store/ {
		root /srv;
		dav_methods PUT;
		create_full_put_path on;
	}
}
"""


def make_data(folder):
    """An image with the files that are served or sent: always the same, and nothing repeats.

    Returns (image, {name: SHA-256}).
    """
    tree = os.path.join(folder, "data")
    os.makedirs(os.path.join(tree, "many"), exist_ok=True)
    keystream = subprocess.run(
        f"openssl enc -aes-128-ctr -K 5eed -iv 0 -in /dev/zero 2>/dev/null | head -c {SIZE}",
        shell=True, check=True, capture_output=True).stdout
    files = {"big": keystream}
    part = SIZE // PARTS
    for number in range(PARTS):
        files[f"many/{number + 1:03}"] = keystream[number * part:(number + 1) * part]
    for name, data in files.items():
        with open(os.path.join(tree, name), "wb") as file:
            file.write(data)
    image = os.path.join(folder, "data.img")
    subprocess.run(["mkfs.erofs", "--quiet", image, tree], check=True, stdout=subprocess.DEVNULL)
    return image, {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}


def start_server(node):
    """Debian's nginx with the same files on each node."""
    node.guest.run(f"""
        set -e
        mkdir -p /srv/www /srv/store
        chown www-data /srv/store
        mountpoint -q /srv/www || mount -t erofs -o ro /dev/vdb /srv/www
        cat >/etc/nginx/sites-enabled/default <<'END'{NGINX_SITE}END
        pgrep nginx >/dev/null || nginx""")


class Outcome:
    """How a workload ended, as a list of (what was expected, did it hold, what was seen)."""

    def __init__(self):
        self.checks = []

    def add(self, expected, held, seen=""):
        """One more thing that was looked at."""
        self.checks.append((expected, bool(held), seen))

    @property
    def good(self):
        """Did everything hold?"""
        return all(held for _, held, _ in self.checks)


class Workload:
    """One curl against the service; subclasses say what it fetches or sends."""

    name = ""
    uploads = False
    total = SIZE
    file = "/tmp/got"

    def __init__(self, cluster, hashes):
        self.cluster = cluster
        self.client = cluster.client
        self.hashes = hashes
        self.running = None
        self.moved = "tx_bytes" if self.uploads else "rx_bytes"

    def prepare(self):
        """Makes the client ready."""
        self.client.run("rm -rf /tmp/got; mkdir -p /tmp/got")

    def mount_files(self):
        """The client has what the nodes serve."""
        self.client.run("mkdir -p /srv/www; mountpoint -q /srv/www || "
                        "mount -t erofs -o ro /dev/vdb /srv/www")

    def curl(self):
        """The client's command line."""
        raise NotImplementedError

    def start(self):
        """The client begins. Returns a command that ends when half of the bytes have moved."""
        counter = f"/sys/class/net/br0/statistics/{self.moved}"
        half = self.client.start_command(f"""
            read -r begin <{counter}; echo "$begin"
            until read -r now <{counter}; [ $((now - begin)) -ge {self.total // 2} ]; do
                sleep 0.05
            done""")
        self.running = self.client.start_command(self.curl())
        return half

    def finish(self, server, timeout):
        """Waits for the client's end and looks at everything; `server` is the node that is left."""
        outcome = Outcome()
        try:
            code = self.running.wait(timeout)
        except GuestError:
            self.running.kill()
            code = None
        said = self.running.output.strip().splitlines()
        outcome.add("curl's exit status is 0", code == 0,
                    f"no end after {timeout} s" if code is None else
                    f"exit status {code}" + (f", {said[-1]}" if code and said else ""))
        self.look(outcome, server)
        return outcome

    def look(self, outcome, server):
        """Compares files."""
        raise NotImplementedError

    @staticmethod
    def sha256(guest, path):
        """A file's hash, or an empty string."""
        found = re.match(r"[0-9a-f]{64}", guest.run(f"sha256sum {path}", check=False))
        return found.group(0) if found else ""

    def compare(self, outcome, guest, path):
        """Adds the comparison of one file with what it should be."""
        size = guest.run(f"stat -c %s {path}", check=False).strip()
        outcome.add("the SHA-256 is the file's",
                    self.sha256(guest, path) == self.hashes["big"],
                    f"{int(size):,} bytes at {guest.name}" if size.isdigit() else "no file")


class Download(Workload):
    """curl fetches one large file."""

    name = "download"

    def curl(self):
        return f"{CURL} -o {self.file}/big http://{SERVICE_ADDRESS}/big 2>&1"

    def look(self, outcome, server):
        self.compare(outcome, self.client, f"{self.file}/big")


class Upload(Workload):
    """curl sends one large file, nginx stores it."""

    name = "upload"
    uploads = True

    def prepare(self):
        super().prepare()
        self.mount_files()

    def curl(self):
        return (f"{CURL} -f -T /srv/www/big -o {self.file}/answer "
                f"http://{SERVICE_ADDRESS}/store/big 2>&1")

    def look(self, outcome, server):
        self.compare(outcome, server.guest, "/srv/store/big")


class Many(Workload):
    """Many downloads at once, and connections that are idle meanwhile."""

    name = "many"

    def __init__(self, cluster, hashes):
        super().__init__(cluster, hashes)
        self.idle = None

    def prepare(self):
        super().prepare()
        self.mount_files()
        sums = "".join(f"{self.hashes[f'many/{number + 1:03}']}  {number + 1:03}\n"
                       for number in range(PARTS))
        self.client.run(f"mkdir -p /tmp/got; rm -f /tmp/ask; ulimit -n 4096\n"
                        f"cat >/tmp/sums <<'END'\n{sums}END")

    def curl(self):
        return (f"{CURL} --parallel --parallel-immediate --parallel-max {PARTS} "
                f"-o '{self.file}/#1' 'http://{SERVICE_ADDRESS}/many/[001-{PARTS}]' 2>&1")

    def start(self):
        self.idle = self.client.start_command(f"""
            exec python3 /src/selftests/programs/idlers.py --address {SERVICE_ADDRESS} \
                --path /many/001 --file /srv/www/many/001 --source {CLIENT_ADDRESS} \
                --number {IDLE} --ask /tmp/ask --timeout {IDLE_SECONDS}""")
        wait_said(self.idle, "ready", IDLE_SECONDS)
        return super().start()

    def look(self, outcome, server):
        listing = self.client.run(f"cd {self.file} && sha256sum --quiet -c /tmp/sums 2>/dev/null; "
                                  "echo end", check=False)
        bad = [line.split(":")[0] for line in listing.splitlines() if ":" in line]
        outcome.add(f"all {PARTS} files have the right SHA-256", not bad,
                    f"{PARTS - len(bad)} of {PARTS}")
        self.client.run("touch /tmp/ask")
        try:
            code = self.idle.wait(60)
        except GuestError:
            self.idle.kill()
            code = None
        outcome.add(f"the {IDLE} idle connections answer again", code == 0,
                    self.idle.output.strip().splitlines()[-1])


WORKLOADS = {kind.name: kind for kind in (Download, Upload, Many)}
