# SPDX-License-Identifier: GPL-2.0
"""How busy a machine's processors are."""

# Jiffies per second that /proc/stat counts in, on all machines that the module is built for.
USER_HZ = 100


def this_machine():
    """The first line of /proc/stat here."""
    with open("/proc/stat", encoding="ascii") as file:
        return file.readline()


class Load:
    """From now on. `read` returns the first line of a machine's /proc/stat."""

    def __init__(self, read=this_machine):
        self.read = read
        self.begin = self.now()

    def now(self):
        """(jiffies that were not idle, all jiffies)."""
        values = [int(word) for word in self.read().split()[1:9]]
        return sum(values) - values[3] - values[4], sum(values)

    def percent(self):
        """Of all processors, until now."""
        busy, all_of_it = self.now()
        return round(100 * (busy - self.begin[0]) / max(1, all_of_it - self.begin[1]))

    def seconds(self):
        """Of one processor, until now."""
        return (self.now()[0] - self.begin[0]) / USER_HZ
