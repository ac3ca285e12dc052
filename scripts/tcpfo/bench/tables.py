# SPDX-License-Identifier: GPL-2.0
"""Prints a summary of costs for people."""


def table(title, head, rows):
    """Columns as wide as they need to be; the first one is words, the others are numbers."""
    rows = [head] + [[f"{cell:,}" if isinstance(cell, (int, float)) else str(cell) for cell in row]
                     for row in rows]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]
    print("\n" + title)
    for row in rows:
        print("  " + row[0].ljust(widths[0]) + "".join(
            "  " + cell.rjust(width) for cell, width in zip(row[1:], widths[1:])))


def tell_workloads(summary):
    """Ratios and goals."""
    rows = []
    for name, one in summary["workloads"].items():
        rows.append([f"{name}, per {one['unit']}", *one["instructions"].values(),
                     *(f"{one[variant + '_over_absent']:.4f}"
                       for variant in ("empty", "unused", "protected")),
                     f"{one['goal']:.2f}", max(one["spread_percent"].values())])
    unused = summary["workloads"]["download"]["goal_unused"]
    table("Instructions of the whole machine: client, switch, node a and node b. Module absent; "
          "empty hooks in\nits place; loaded, but not for this port; protecting. Goal of unused / "
          f"absent: {unused}",
          ["workload", "absent", "empty", "unused", "protected", "empty/", "unused/", "protected/",
           "goal", "range %"], rows)


def tell_split(summary):
    """Who pays."""
    rows = []
    for name, one in summary["split"].items():
        for variant in ("absent", "protected"):
            rows.append([f"{name}, {variant}", *one[variant].values(),
                         f"{one['node_a_protected_over_absent']:.3f}"
                         if variant == "protected" else ""])
    table("Who pays, instructions per unit. Measured apart, with threads for what devices receive "
          "and without\nsegmentation by them (node a is the serving node)",
          ["workload", "client", "switch", "node a", "node b", "directors", "rest", "a: ratio"],
          rows)


def tell_rest(summary):
    """Channel, latency, idle connections."""
    table("What the channel carries, per unit: to the backup, and from it",
          ["workload", "bytes", "bytes back", "packets", "packets back"],
          [[name, *one.values()] for name, one in summary["channel"].items()])
    rows = []
    for workload, waits in summary["latency_us"].items():
        for name, one in waits.items():
            wait, parallel, level = name.split("_")
            rows.append([f"{workload}: {wait}, {parallel} at a time, {level}", one["absent"],
                         one["protected"], f"{one['protected'] / one['absent']:.2f}"])
    table("Latency in microseconds of the guest, 500 instructions each",
          ["wait", "absent", "protected", "ratio"], rows)
    table("Beside idle connections, protected: instructions",
          ["connections", "per request", "per connection", "per idle second"],
          [[f"{int(held):,}", one["requests"], one["connects"], one["per_idle_second"]]
           for held, one in sorted(summary["beside_idle_connections"].items(),
                                   key=lambda item: int(item[0]))])
    moves = summary["moves"]
    table("A connection changes its node: instructions of the whole machine for each",
          ["handover", "TCP_REPAIR in user space", "times as much", "goal"],
          [[f"{moves['handover']:,}", moves["repair"], moves["repair_over_handover"],
            moves["goal"]]])
    absorbing = summary["absorbing"]
    table("A download goes on at the other node: instructions for each megabyte",
          ["regenerated and absorbed", "sent, without the module", "times as much"],
          [[f"{absorbing['absorbed']:,}", absorbing["sent"], absorbing["sent_over_absorbed"]]])
    table("Per idle second: instructions of all threads", list(summary["per_idle_second"]),
          [[f"{value:,}" for value in summary["per_idle_second"].values()]])


def tell(summary):
    """All of it."""
    tell_workloads(summary)
    tell_split(summary)
    tell_rest(summary)
