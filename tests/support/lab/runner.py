"""`tests/lab test`: builds, unit tests, corpora, the include check and the namespace tests; the last line counts them."""
import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import xml.etree.ElementTree as ElementTree

from lab import tracks
from lab.build import SANITIZER_ENV, TEST_LOGS, Progress, build
from lab.namespaces import Failed
from lab.paths import BUILD, LAB, ROOT
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
        """Adds the cases of a JUnit file (ctest's or pytest's), returns how many. A missing or empty one is a failure."""
        try:
            cases = list(ElementTree.parse(path).iter('testcase'))
        except (OSError, ElementTree.ParseError) as error:
            self.part_failed(part, f'no results: {error}')
            return 0
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
        return len(cases)


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
    the tests marked so, which wait for half a minute and more. Without an expression on two tracks at once."""
    part = f'namespace tests, {preset}'
    env = {**os.environ, **SANITIZER_ENV, 'NAMEPLATE_BIN': str(BUILD / preset / 'bin'), 'PYTHONDONTWRITEBYTECODE': '1'}
    if long:
        env['NAMEPLATE_LONG'] = '1'
    progress.begin(part)
    if expression:
        running = [Track(part, f'net-{preset}', ['-k', expression], env, progress)]
    else:
        claims = TEST_LOGS / f'net-{preset}-claims'
        shutil.rmtree(claims, ignore_errors=True)
        claims.mkdir(parents=True)
        env['NAMEPLATE_CLAIMS'] = str(claims)
        apart = {**env, 'NAMEPLATE_TRACK': '2', 'NAMEPLATE_LAB': f'{LAB[:6]}t2'}
        running = [Track(f'{part}, track 1', f'net-{preset}', [], env, progress),
                   Track(f'{part}, track 2', f'net-{preset}-2', [], apart, progress, tracks.APART)]
    _wait_for(running)
    progress.end(part)
    ran = sum(track.count(tally) for track in running if track.status != 5 or not expression)
    if not expression and ran < tracks.collected(claims):
        tally.part_failed(part, f'{tracks.collected(claims)} tests were found, {ran} ran')


class Track:
    """One pytest over tests/net, which starts at once; what it says goes to a log, and its file's name to the terminal."""

    def __init__(self, part, name, words, env, progress, before=()):
        self.part, self.status = part, None
        self.junit, self.log = TEST_LOGS / f'{name}.xml', TEST_LOGS / f'{name}.log'
        self.junit.unlink(missing_ok=True)
        argv = [*before, sys.executable, '-m', 'pytest', '-v', '-p', 'no:cacheprovider', f'--junitxml={self.junit}', '--tb=short',
                '-rN', '-o', 'junit_logging=all', 'tests/net', *words]
        self.child = subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env,
                                      start_new_session=True)
        self._reader = threading.Thread(target=self._copy, args=(progress,), daemon=True)
        self._reader.start()

    def _copy(self, progress):
        current = None
        with open(self.log, 'w') as out:
            for line in self.child.stdout:
                out.write(line)
                out.flush()
                name = line.partition('::')[0]
                if name.startswith('tests/') and name.endswith('.py') and name != current:
                    current = name
                    progress.note(name)

    def wait(self):
        self.status = self.child.wait()
        self._reader.join()

    def end(self):
        """It is told to end and given time to take its lab down."""
        with contextlib.suppress(ProcessLookupError):
            self.child.send_signal(signal.SIGINT)
        with contextlib.suppress(AssertionError):
            wait_until(lambda: self.child.poll() is not None, 20, 'the namespace tests ended')
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.child.pid, signal.SIGKILL)

    def count(self, tally):
        """Adds the results to the tally; how many tests they are."""
        if self.status not in (0, 1):
            tally.part_failed(self.part, _tail(self.log.read_text(errors='replace'), 40))
        if self.junit.exists() or self.status in (0, 1):
            return tally.read_junit(self.junit, self.part)
        return 0


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


def _wait_for(running):
    """To the end of all tracks. When we are told to end, so are they."""
    try:
        for track in running:
            track.wait()
    except BaseException:
        for track in running:
            track.end()
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
