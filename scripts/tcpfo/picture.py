# SPDX-License-Identifier: GPL-2.0
"""Draws a transfer that survived: bytes against seconds, crash and takeover marked."""

import matplotlib

matplotlib.use("Agg")
# pylint: disable=wrong-import-position
from matplotlib import pyplot

MEGABYTE = 1e6
COLOURS = {"a": "#1f77b4", "b": "#ff7f0e"}


def save(figure, path):
    """Writes a PNG."""
    figure.tight_layout()
    figure.savefig(path)
    pyplot.close(figure)


def draw(path, title, curves, marks, shaded):
    """Writes a PNG.

    `curves` are (node's name, [(second, bytes so far)]), `marks` (second, label) for vertical
    lines, `shaded` (from, to) is how long the client waited at the crash.
    """
    figure, axes = pyplot.subplots(figsize=(9, 5), dpi=110)
    for name, points in curves:
        if points:
            axes.plot([point[0] for point in points],
                      [point[1] / MEGABYTE for point in points],
                      color=COLOURS.get(name, "grey"), linewidth=2, label=f"served by node {name}",
                      drawstyle="steps-post")
    axes.axvspan(*shaded, color="lightgrey",
                 label=f"longest wait: {shaded[1] - shaded[0]:.2f} s")
    top = axes.get_ylim()[1]
    for number, (second, label) in enumerate(marks):
        axes.axvline(second, color="crimson" if number == 0 else "seagreen", linestyle="--",
                     linewidth=1)
        axes.annotate(label, (second, top * (0.97 - 0.07 * number)), xytext=(5, 0),
                      textcoords="offset points", va="top", fontsize=9)
    axes.set_xlabel("seconds since the first byte")
    axes.set_ylabel("megabytes")
    axes.set_title(title)
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    save(figure, path)
