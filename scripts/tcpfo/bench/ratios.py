# SPDX-License-Identifier: GPL-2.0
"""Draws what workloads cost: each variant over absent, with the goals."""

from tcpfo.picture import pyplot, save

BARS = (("empty_over_absent", "no module, empty hooks", "#c7c7c7"),
        ("unused_over_absent", "module loaded, another port", "#7f7f7f"),
        ("protected_over_absent", "protected", "#1f77b4"))
WIDTH = 0.27


def draw(path, summary):
    """Writes a PNG."""
    figure, axes = pyplot.subplots(figsize=(9, 5), dpi=110)
    workloads = summary["workloads"]
    for number, (key, label, colour) in enumerate(BARS):
        places = [place + (number - 1) * WIDTH for place in range(len(workloads))]
        bars = axes.bar(places, [one[key] for one in workloads.values()], WIDTH, label=label,
                        color=colour)
        axes.bar_label(bars, fmt="%.3f", fontsize=8)
    for place, one in enumerate(workloads.values()):
        axes.hlines(one["goal"], place + WIDTH / 2, place + 3 * WIDTH / 2, color="seagreen",
                    linewidth=2, label="goal" if place == 0 else None)
    axes.axhline(1, color="grey", linewidth=1)
    axes.set_xticks(range(len(workloads)),
                    [f"{name}\nper {one['unit']}" for name, one in workloads.items()])
    axes.set_ylabel("instructions, over those without the module")
    axes.set_title("What protection costs: client, network and both nodes together")
    axes.legend()
    axes.grid(axis="y", alpha=0.3)
    save(figure, path)
