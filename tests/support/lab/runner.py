"""`tests/lab test`: builds, unit tests, corpora, the include check and the namespace tests; the last line counts them."""
import contextlib
import os
import re
import signal
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

from lab.build import SANITIZER_ENV, TEST_LOGS, Progress, build
from lab.namespaces import Failed
from lab.paths import BUILD, ROOT
from lab.waiting import wait_until

# The compilers and sanitizers that see every unit test, and the build that the namespace tests run.
UNIT_PRESETS = ('dev', 'asan', 'clang')
NET_PRESET = 'release'
FUZZ_SECONDS = 60
LINE_MAX = 400


class Tally:
    """Counts of all parts, and the failures with what they said."""

    def __init__(self):
        self.passed = 0
        self.failed = 0

    def part_failed(self, name, said):
        """A part that could not run at all counts as one failure."""
        self.failed += 1
        print(f'\nFAILED {name}\n{_indent(said)}', flush=True)

    def read_junit(self, path, part):
        """Adds the cases of a JUnit file (ctest's or pytest's). A missing or empty one is a failure."""
        try:
            cases = list(ElementTree.parse(path).iter('testcase'))
        except (OSError, ElementTree.ParseError) as error:
            self.part_failed(part, f'no results: {error}')
            return
        passed = failed = skipped = 0
        for case in cases:
            bad = [child for child in case if child.tag in ('failure', 'error')]
            good, broken = _cmocka_counts(case.findtext('system-out') or '')
            if bad or case.get('status') == 'fail':
                failed += max(1, broken)
                passed += good
                out = '\n'.join((node.text or '') for node in case if node.tag in ('failure', 'error', 'system-out'))
                name = case.get('name')
                print(f'\nFAILED {part}: {name}\n{_indent(_tail(out or bad and bad[0].get("message") or "", 60))}', flush=True)
            elif case.find('skipped') is not None or case.get('status') == 'notrun':
                skipped += 1
            else:
                passed += max(1, good)
        self.passed += passed
        self.failed += failed
        print(f'          {part}: {passed} passed, {failed} failed' + (f', {skipped} skipped' if skipped else ''), flush=True)


def run(long=False, expression=None):
    """The whole run. `expression` (pytest's -k, ctest's -R) leaves out the rest. Returns the exit status."""
    tally, progress = Tally(), Progress()
    if expression is None:
        include_check(tally, progress)
    for preset in UNIT_PRESETS if expression is None else ('dev',):
        if _built(preset, tally, progress):
            unit_tests(preset, expression, tally, progress)
    if _built(NET_PRESET, tally, progress):
        net_tests(NET_PRESET, expression, tally, progress, long)
    if long:
        if _built('asan', tally, progress):
            net_tests('asan', expression, tally, progress, long)
        if expression is None:
            fuzz(tally, progress)
    if tally.passed + tally.failed == 0:
        print('nothing ran' + (f': no test matches {expression!r}' if expression else ''))
    print(f'{tally.passed} passed, {tally.failed} failed', flush=True)
    return 0 if tally.passed and not tally.failed else 1


def include_check(tally, progress):
    """tests/support/includes.py: "who may use whom"."""
    script = ROOT / 'tests' / 'support' / 'includes.py'
    progress.begin('include check')
    done = subprocess.run([sys.executable, str(script)], cwd=ROOT, capture_output=True, text=True, check=False)
    progress.end('include check')
    if done.returncode == 0:
        tally.passed += 1
    else:
        tally.part_failed('include check', done.stdout + done.stderr)


def unit_tests(preset, expression, tally, progress):
    junit = TEST_LOGS / f'unit-{preset}.xml'
    junit.unlink(missing_ok=True)
    argv = ['ctest', '--preset', preset, '--output-junit', str(junit), '-j', '2', '--no-tests=ignore',
            '--test-output-size-passed', '1000000', '--test-output-size-failed', '1000000']
    if expression:
        # pytest's words (`front and not slow`) are no regular expression: a plain word is good for both.
        argv += ['-R', expression]
    progress.begin(f'unit tests, {preset}')
    with open(TEST_LOGS / f'unit-{preset}.log', 'w') as log:
        subprocess.run(argv, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT, check=False, env={**os.environ, **SANITIZER_ENV})
    progress.end(f'unit tests, {preset}')
    if expression and not junit.exists():
        return
    tally.read_junit(junit, f'unit tests, {preset}')


def net_tests(preset, expression, tally, progress, long=False):
    """pytest over tests/net with the programs of a preset; those of asan end when something is wrong inside. long: with
    the tests marked so, which wait for half a minute and more."""
    part = f'namespace tests, {preset}'
    junit = TEST_LOGS / f'net-{preset}.xml'
    junit.unlink(missing_ok=True)
    argv = [sys.executable, '-m', 'pytest', '-v', '-p', 'no:cacheprovider', f'--junitxml={junit}', '--tb=short', '-rN',
            '-o', 'junit_logging=all', 'tests/net']
    if expression:
        argv += ['-k', expression]
    progress.begin(part)
    env = {**os.environ, **SANITIZER_ENV, 'NAMEPLATE_BIN': str(BUILD / preset / 'bin'), 'PYTHONDONTWRITEBYTECODE': '1'}
    if long:
        env['NAMEPLATE_LONG'] = '1'
    log = TEST_LOGS / f'net-{preset}.log'
    with open(log, 'w') as out:
        child = subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env,
                                 start_new_session=True)
        status = _wait_for(child, out, progress)
    progress.end(part)
    if status == 5 and expression:
        return
    if status not in (0, 1):
        tally.part_failed(part, _tail(log.read_text(errors='replace'), 40))
    if junit.exists() or status in (0, 1):
        tally.read_junit(junit, part)


def fuzz(tally, progress):
    """--long: every libFuzzer target for a minute, on a copy of its corpus."""
    if not _built('fuzz', tally, progress):
        return
    for target in sorted((BUILD / 'fuzz' / 'bin').glob('fuzz_*')):
        name = target.name.removeprefix('fuzz_')
        found = BUILD / 'fuzz' / 'found' / name
        found.mkdir(parents=True, exist_ok=True)
        seeds = ROOT / 'tests' / 'fuzz' / 'corpus' / name
        progress.begin(f'fuzz {name}')
        log = TEST_LOGS / f'fuzz-{name}.log'
        with open(log, 'w') as out:
            done = subprocess.run([str(target), f'-max_total_time={FUZZ_SECONDS}', '-timeout=10', '-rss_limit_mb=1024',
                                   f'-artifact_prefix={found}/crash-', str(found), str(seeds)],
                                  cwd=found, stdout=out, stderr=subprocess.STDOUT, check=False)
        progress.end(f'fuzz {name}')
        if done.returncode == 0:
            tally.passed += 1
        else:
            tally.part_failed(f'fuzz {name}', _tail(log.read_text(errors='replace'), 40))


def _built(preset, tally, progress):
    try:
        build(preset, progress)
        return True
    except Failed as error:
        tally.part_failed(f'build {preset}', str(error))
        return False


def _wait_for(child, log, progress):
    """Copies what pytest says to the log, shows which file it is in, returns its exit status.

    When we are told to end, it is told too and given time to take its lab down.
    """
    current = None
    try:
        for line in child.stdout:
            log.write(line)
            log.flush()
            name = line.partition('::')[0]
            if name.startswith('tests/') and name.endswith('.py') and name != current:
                current = name
                progress.note(name)
        return child.wait()
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            child.send_signal(signal.SIGINT)
        with contextlib.suppress(AssertionError):
            wait_until(lambda: child.poll() is not None, 20, 'the namespace tests ended')
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        raise


def _cmocka_counts(said):
    """A ctest case is a program; what cmocka says in it is (tests passed, tests failed). (0, 0) for other programs."""
    failed = re.search(r'^\[  FAILED  \] (?:.*: )?(\d+) test\(s\)', said, re.MULTILINE)
    return said.count('[       OK ]'), int(failed.group(1)) if failed else 0


def _tail(text, lines):
    kept = text.rstrip().splitlines()
    return '\n'.join((['...'] if len(kept) > lines else []) + kept[-lines:])


def _indent(text):
    """Indented, and no line longer than a screen or two: the whole of it is in the log."""
    return '\n'.join('    ' + (line if len(line) <= LINE_MAX else line[:LINE_MAX] + ' ...') for line in text.rstrip().splitlines())
