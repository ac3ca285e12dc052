# SPDX-License-Identifier: GPL-2.0
"""How fast the downloads are whose pauses are measured: so slow that neither the processor nor the
network is what they wait for, and so that bytes of each come often. Measures nothing."""

# Segments per second, of all downloads together, and of one at most.
SEGMENTS, SEGMENTS_EACH = 2000, 20
SEGMENT_BITS = 1514 * 8
# Of each download, before its node dies, in bytes.
UNDER_WAY = 30_000


def each(downloads):
    """Segments per second of one of so many."""
    return min(SEGMENTS_EACH, SEGMENTS / downloads)


def rate(segments):
    """As tc writes it."""
    return f"{round(segments * SEGMENT_BITS)}bit"


def shape(node, limit):
    """Each connection leaves the node as if over a line of its own, of that rate."""
    # Large segments are cut before: so they come one by one, and not all at the end of a pause.
    # With the room that fq has by itself it would drop what a thousand connections have waiting
    # there. And what waits there of connections that have ended is not to come any more.
    node.guest.run(f"""
        tc qdisc del dev {node.device} root 2>/dev/null || true
        tc qdisc add dev {node.device} root handle 1: tbf rate 10gbit burst 2000 latency 1s
        tc qdisc add dev {node.device} parent 1: fq maxrate {limit} limit 1000000""")
