# SPDX-License-Identifier: GPL-2.0
"""Draws what was measured of takeovers: pauses against connections, and a client's progress."""

from tcpfo.picture import pyplot, save

LEVELS = (("p50", "median", "#1f77b4", "o"), ("p99", "99th percentile", "#ff7f0e", "s"),
          ("max", "longest", "#d62728", "^"))
PROGRESS = (("undisturbed", "no node dies", "#7f7f7f"),
            ("lost", "its node dies, no module: begins again", "#d62728"),
            ("protected", "its node dies, with the module", "#1f77b4"))


def panel(axes, series, what, goal, detection):
    """Pauses of some series, of which each differs from the others in one number."""
    ticks = list(range(len(series)))
    for level, label, colour, marker in LEVELS:
        axes.plot(ticks, [one["pause_ms"][level] for one in series], label=label, color=colour,
                  marker=marker)
    axes.axhline(detection, color="grey", linestyle="--", linewidth=1,
                 label=f"detection, as configured: {detection} ms")
    axes.axhline(goal, color="seagreen", linestyle="--", linewidth=1, label=f"goal: {goal} ms")
    axes.set_xticks(ticks, [f"{one[what]:,}" for one in series])
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)


def draw_pauses(path, summary, detection, goal):
    """How long clients waited, against the number of connections."""
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(10, 5), dpi=110)
    panel(left, sorted((one for one in summary if not one["idle"]), key=lambda one: one["active"]),
          "active", goal, detection)
    left.set_xlabel("downloads under way")
    left.set_ylabel("milliseconds without a new byte")
    panel(right, sorted((one for one in summary if one["active"] == 100),
                        key=lambda one: one["idle"]), "idle", goal, detection)
    right.set_xlabel("idle connections beside 100 downloads")
    left.legend(loc="upper left", fontsize=8)
    figure.suptitle("Pause of a client when its node dies")
    save(figure, path)


def draw_progress(path, progress, size):
    """One client's download of so many bytes, whose node dies: bytes against seconds."""
    figure, axes = pyplot.subplots(figsize=(9, 5), dpi=110)
    for name, label, colour in PROGRESS:
        for number, points in enumerate(progress[name]):
            axes.plot([second for second, _ in points], [count / 1e6 for _, count in points],
                      color=colour, linewidth=2, label=None if number else label)
    axes.set_xlabel("seconds since the client began")
    axes.set_ylabel("megabytes that the client has")
    axes.set_title(f"A download of {size / 1e6:.0f} MB at 100 Mbit/s")
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right", fontsize=9)
    save(figure, path)
