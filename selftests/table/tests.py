#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0
"""The tests of the table of results (scripts/tcpfo/table.py), on planted results. Prints TAP."""

import sys
import traceback

from tcpfo import table

GOOD = """\
# kernel 1.2.3
# module abc
# test_windows.sh
ok 1 - windows: ordinary: all were restored
# cell stalled passed
ok 2 - windows: none failed
# test_windows.sh took 3 s
"""


def results(text):
    """What is read of that."""
    one = table.Results()
    one.read(text.splitlines(keepends=True))
    return one


def verdicts(text, row, test="windows"):
    """The verdict about one cell."""
    return results(text).cell((test, row))[0]


def good_results_pass():
    """Rows are named by checks and by remarks."""
    for row in ("ordinary", "stalled", table.TOGETHER):
        assert verdicts(GOOD, row) == table.PASSED, row
    assert not [line for line in table.complaints([results(GOOD)] * 2) if "windows" in line]


def a_failed_check_fails_its_cell():
    """Also where others of that name have passed."""
    text = GOOD + "not ok 3 - windows: ordinary: all connections end well\n"
    assert verdicts(text, "ordinary") == table.FAILED
    assert verdicts(text, "stalled") == table.PASSED
    assert "IPv6: windows: ordinary: failed" in table.complaints([results(GOOD), results(text)])


def a_failed_remark_fails_its_cell():
    """Whatever else is said of it, and in whatever order."""
    for more in ("# cell stalled failed\n", "# cell stalled failed\n# cell stalled passed\n",
                 "# cell stalled unprotected why\n# cell stalled failed\n"):
        assert verdicts(GOOD + more, "stalled") == table.FAILED


def a_test_that_ends_badly_fails():
    """What run_tests.sh says of it has no colon."""
    text = GOOD + "not ok 3 - windows: ends within 300 s\n"
    assert verdicts(text, table.TOGETHER) == table.FAILED


def what_is_not_said_is_missing():
    """Nothing passes by itself: neither what is not there nor what was skipped."""
    assert verdicts(GOOD, "tiny") == table.MISSING
    text = "# test_windows.sh\nok 1 - windows # SKIP no module\n"
    assert verdicts(text, table.TOGETHER) == table.MISSING
    wrong = list(table.complaints([results(GOOD), results(text)]))
    assert "IPv6: windows: stalled: missing" in wrong
    assert "**no result**" in table.document([results(GOOD), results(text)])


def reasons_are_told():
    """Of what is unprotected, and of what there is not; a passed check does not hide it."""
    text = GOOD + "# cell stalled absent no such thing\n# cell ordinary unprotected it is *odd*\n"
    document = table.document([results(GOOD), results(text)])
    assert "not in IPv6: no such thing" in document
    assert r"unprotected: it is \*odd\*" in document


def a_later_run_replaces_a_test():
    """And leaves the others."""
    one = results(GOOD + "not ok 3 - windows: tiny: x\n# test_hosts.sh\nok 4 - hosts: vlan: x\n")
    one.read(GOOD.splitlines())
    assert one.cell(("windows", "tiny"))[0] == table.MISSING
    assert one.cell(("hosts", "vlan"))[0] == table.PASSED


def a_row_is_in_one_chapter():
    """Those of time are none of the options."""
    text = ("# test_options.sh\n# cell no_timestamps_download passed\n"
            "# cell plain_download passed\n"
            "ok 1 - options: none failed\n")
    document = table.document([results(text)] * 2)
    assert document.count("no timestamps download") == 1
    assert document.count("plain download") == 1
    assert document.count("Kernel unknown") == 1


def main():
    """Runs all."""
    tests = [value for value in globals().values()
             if callable(value) and getattr(value, "__module__", "") == "__main__"
             and value not in (results, verdicts, main)]
    failed = 0
    for number, test in enumerate(tests, 1):
        try:
            test()
            print(f"ok {number} - {test.__name__}")
        except Exception:  # pylint: disable=broad-exception-caught
            failed += 1
            print(f"not ok {number} - {test.__name__}")
            for line in traceback.format_exc().splitlines():
                print("#", line)
    print(f"1..{len(tests)}")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
