# SPDX-License-Identifier: GPL-2.0
"""The table of what survives, Documentation/tcp.rst, made of what selftests/run_tests.sh has
printed: python3 -m tcpfo.table --ipv4 TAP... --ipv6 TAP... (a test that is in several files
counts as in the last one).

A test has a row for each connection, or kind of connection, that it names: by remarks

  # cell NAME passed|failed|unprotected|absent REASON

and by the names of its checks, as far as the first colon. What it checks of all together, without
a colon, is a row, too. A cell says "passed" only if something has passed and nothing failed.

Exits 1 if a cell failed, or has no result while that of the other IP version has one.
"""

import argparse
import re
import sys

FAMILIES = ("IPv4", "IPv6")
TOGETHER = "all of these together"
FAILED, MISSING, PASSED = "failed", "missing", "passed"
UNPROTECTED, ABSENT = "unprotected", "absent"
# What counts if there are several verdicts about one cell: the first of these.
ORDER = (FAILED, UNPROTECTED, ABSENT, PASSED)

SECTION = re.compile(r"# test_(\w+)\.sh$")
CELL = re.compile(r"# cell (.+?) (passed|failed|unprotected|absent)(?: (.*))?$")
RESULT = re.compile(r"(not ok|ok) \d+ - (\w+)(?:: (.*?))?( # SKIP.*)?$")
ORIGIN = re.compile(r"# (kernel|module) (\S+)$")

# Chapters: what they are called, the tests whose rows they have, and which of their rows.
TIME = r"timestamps|usec|keepalive|user_timeout"
KINDS = (
    ("Options of TCP", ("options",), rf"(?!.*({TIME}))"),
    ("Windows", ("windows",), ""),
    ("Sequence numbers that pass 2^32", ("sequence",), ""),
    ("Time", ("options", "states"), rf".*({TIME})"),
    ("States at the crash", ("states",), rf"(?!.*({TIME}))"),
    ("Bad networks", ("bad_network", "aggregates"), ""),
    ("Hosts as operators set them up", ("hosts",), ""),
    ("Listeners", ("listeners",), ""),
    ("Many connections, several services", ("scale", "services"), ""),
    ("What is not supported", ("unsupported",), ""),
    ("Servers and clients as Debian has them", ("peers",), ""),
    ("Clients whose TCP is not Linux's", ("foreign_client",), ""),
    ("Clients that mean no good", ("hostile", "flood"), ""),
)

INTRODUCTION = """\
.. SPDX-License-Identifier: GPL-2.0
.. Made by `make test-tcp`; do not edit.

=============
What survives
=============

Each row is a connection, or some of one kind, that the tests of ``selftests/`` carry over a
takeover. The table is made by ``make test-tcp`` of what they printed. Kernel {kernel}, module as of
commit {module}.

*passed*
   Every byte was right on both sides, there was no reset, and what else the test looks at was
   right.
*unprotected*
   It is served as without the module, and counted as unprotected; or it is declared to be none that
   can be carried on.
*not in* an IP version
   There is no such thing in it, or no program that speaks it.
*no result*
   The test was not run, or has not come so far.

The names are those of the tests, where it is said what each of them is: :doc:`testing`.
"""


class Results:
    """What one IP version's tests have said."""

    def __init__(self):
        # Test, row: a list of verdicts and reasons.
        self.cells = {}
        self.origins = {"kernel": set(), "module": set()}

    def note(self, test, row, verdict, reason=""):
        """One verdict about a cell."""
        self.cells.setdefault((test, row), []).append((verdict, reason))

    def read(self, lines):
        """Takes in what was printed; whole tests replace those that are known."""
        test = None
        for line in lines:
            line = line.rstrip("\n")
            if match := ORIGIN.match(line):
                self.origins[match[1]].add(match[2])
            elif match := SECTION.match(line):
                test = match[1]
                for key in [key for key in self.cells if key[0] == test]:
                    del self.cells[key]
            elif test and (match := CELL.match(line)):
                self.note(test, match[1], match[2], match[3] or "")
            elif match := RESULT.match(line):
                self.result(*match.groups())

    def result(self, verdict, test, name, skip):
        """The result of a check."""
        if skip:
            return
        row, colon, _ = (name or "").partition(":")
        self.note(test, row if colon else TOGETHER, PASSED if verdict == "ok" else FAILED)

    def cell(self, key):
        """What counts of a cell: verdict and reason."""
        said = self.cells.get(key, [])
        for verdict in ORDER:
            for what, reason in said:
                if what == verdict:
                    return verdict, reason
        return MISSING, ""


def rows(results, tests, pattern):
    """The rows of a chapter, in the order of the tests."""
    keys = []
    for test in tests:
        for one in results:
            keys += [key for key in one.cells
                     if key[0] == test and key not in keys and re.match(pattern, key[1])]
    # What is said of all comes last.
    return sorted(keys, key=lambda key: (tests.index(key[0]), key[1] == TOGETHER))


def escaped(text):
    """Text that has no meaning to reStructuredText."""
    return re.sub(r"([\\*`|_])", r"\\\1", text)


def told(family, verdict, reason):
    """A cell as it is written."""
    text = {FAILED: "**failed**", MISSING: "**no result**", ABSENT: f"not in {family}"}.get(
        verdict, verdict)
    return text + (f": {escaped(reason)}" if reason else "")


def table(results, keys, many):
    """The lines of a chapter's table."""
    lines = [".. list-table::", "   :header-rows: 1", "   :widths: 40 30 30", "",
             "   * - Connection"]
    lines += [f"     - {family}" for family in FAMILIES]
    for test, row in keys:
        name = row.replace("_", " ")
        lines.append(f"   * - {escaped(f'{test}: {name}' if many else name)}")
        lines += [f"     - {told(family, *one.cell((test, row)))}"
                  for family, one in zip(FAMILIES, results)]
    return lines + [""]


def document(results):
    """The whole file."""
    origins = {what: ", ".join(sorted(set.union(*(one.origins[what] for one in results))))
               or "unknown" for what in ("kernel", "module")}
    lines = [INTRODUCTION.format(**origins)]
    for title, tests, pattern in KINDS:
        keys = rows(results, tests, pattern)
        lines += [title, "=" * len(title), ""]
        lines += table(results, keys, len(tests) > 1) if keys else ["**no result**", ""]
    return "\n".join(lines)


def complaints(results):
    """What is not as it should be, a line each."""
    for _, tests, pattern in KINDS:
        keys = rows(results, tests, pattern)
        for key in keys:
            for family, one in zip(FAMILIES, results):
                verdict, _ = one.cell(key)
                if verdict in (FAILED, MISSING):
                    yield f"{family}: {key[0]}: {key[1]}: {verdict}"
    for test in sorted({test for _, tests, _ in KINDS for test in tests}):
        if not any(key[0] == test for one in results for key in one.cells):
            yield f"{test}: no result"


def main():
    """Reads the options and the files, writes the document, and complains."""
    parser = argparse.ArgumentParser(prog="table")
    for family in FAMILIES:
        parser.add_argument(f"--{family.lower()}", nargs="+", default=[], metavar="TAP")
    parser.add_argument("--output", required=True)
    options = vars(parser.parse_args())
    results = []
    for family in FAMILIES:
        one = Results()
        for path in options[family.lower()]:
            with open(path, encoding="utf-8", errors="replace") as file:
                one.read(file)
        results.append(one)
    with open(options["output"], "w", encoding="utf-8") as file:
        file.write(document(results))
    wrong = list(complaints(results))
    print("\n".join(wrong))
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
