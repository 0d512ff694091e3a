"""The runner's verdict: what CI reads must be right above all."""
import re

import pytest

from lab import runner

GOOD = '<testsuite><testcase name="a"/><testcase name="b" status="run"><system-out>fine</system-out></testcase></testsuite>'
BAD = ('<testsuites><testsuite><testcase name="a"/><testcase name="broken"><failure message="why">because</failure></testcase>'
       '<testcase name="crash" status="fail"><system-out>signal 11</system-out></testcase>'
       '<testcase name="later"><skipped/></testcase></testsuite></testsuites>')


CMOCKA = """<testsuite><testcase name="unit_x" status="fail"><system-out>[ RUN      ] a
[       OK ] a
[ RUN      ] b
[  FAILED  ] b
[ RUN      ] c
[       OK ] c
[  PASSED  ] 2 test(s).
[  FAILED  ] 1 test(s), listed below:
[  FAILED  ] b
</system-out></testcase></testsuite>"""


@pytest.fixture
def junit(tmp_path):
    def write(text):
        path = tmp_path / 'junit.xml'
        path.write_text(text)
        return path
    return write


@pytest.fixture
def nothing(monkeypatch):
    """A run whose parts do nothing; a test gives it the parts that it wants."""
    for part in ('include_check', 'unit_tests', 'net_tests', 'fuzz'):
        monkeypatch.setattr(runner, part, lambda *_: None)
    monkeypatch.setattr(runner, '_built', lambda *_: True)
    return monkeypatch


def last_line(capsys):
    return capsys.readouterr().out.splitlines()[-1]


def test_counts(junit, capsys):
    tally = runner.Tally()
    tally.read_junit(junit(GOOD), 'good')
    assert (tally.passed, tally.failed) == (2, 0)
    tally.read_junit(junit(BAD), 'bad')
    assert (tally.passed, tally.failed) == (3, 2)
    said = capsys.readouterr().out
    assert 'because' in said and 'signal 11' in said and '1 skipped' in said


def test_counts_inside_cmocka(junit):
    tally = runner.Tally()
    tally.read_junit(junit(CMOCKA), 'unit')
    assert (tally.passed, tally.failed) == (2, 1)


@pytest.mark.parametrize('text', ['', '<testsuite>'])
def test_broken_results_are_a_failure(junit, text):
    tally = runner.Tally()
    tally.read_junit(junit(text), 'part')
    assert tally.failed == 1


def test_missing_results_are_a_failure(tmp_path):
    tally = runner.Tally()
    tally.read_junit(tmp_path / 'none.xml', 'part')
    assert tally.failed == 1


def test_all_passed(nothing, capsys):
    nothing.setattr(runner, 'net_tests', lambda _b, _e, tally, *_: setattr(tally, 'passed', 7))
    assert runner.run() == 0
    assert re.fullmatch(r'\d+ passed, \d+ failed', last_line(capsys))


def test_one_failed(nothing, capsys):
    nothing.setattr(runner, 'include_check', lambda tally, _p: tally.part_failed('include check', 'no'))
    nothing.setattr(runner, 'net_tests', lambda _b, _e, tally, *_: setattr(tally, 'passed', 7))
    assert runner.run() == 1
    assert last_line(capsys) == '7 passed, 1 failed'


def test_nothing_ran_is_no_success(nothing, capsys):
    assert runner.run() == 1
    assert last_line(capsys) == '0 passed, 0 failed'


def test_build_that_fails(nothing, capsys):
    nothing.setattr(runner, '_built', lambda preset, tally, _p: tally.part_failed(f'build {preset}', 'error:'))
    assert runner.run() == 1
    assert last_line(capsys) == '0 passed, 4 failed'
