"""CMake presets, built quietly: one progress line, the log in build/test-logs."""
import os
import subprocess
import sys
import time

from lab.namespaces import Failed
from lab.paths import BUILD, ROOT

TEST_LOGS = BUILD / 'test-logs'
SANITIZER_ENV = {'ASAN_OPTIONS': 'detect_leaks=1:abort_on_error=0', 'UBSAN_OPTIONS': 'print_stacktrace=1'}


class Progress:
    """Lines of what runs now and how long it took; overwrites the line on a terminal."""

    def __init__(self, out=sys.stdout):
        self.out = out
        self.start = time.monotonic()
        self.live = out.isatty()
        self._since = self.start

    def begin(self, what):
        self._since = time.monotonic()
        end = '' if self.live else '\n'
        print(f'[{self._since - self.start:5.0f} s] {what} ...', end=end, flush=True, file=self.out)

    def note(self, what):
        """A line inside the part that runs."""
        begin = '\r\033[K' if self.live else ''
        print(f'{begin}[{time.monotonic() - self.start:5.0f} s]   {what}', flush=True, file=self.out)

    def end(self, what):
        took = time.monotonic() - self._since
        begin = '\r\033[K' if self.live else ''
        print(f'{begin}[{time.monotonic() - self.start:5.0f} s] {what} ({took:.1f} s)', flush=True, file=self.out)


def jobs():
    return str(os.cpu_count() or 2)


def build(preset, progress=None, targets=()):
    """Configures and builds a preset. Failed with the end of the log when it does not build."""
    progress = progress or Progress()
    TEST_LOGS.mkdir(parents=True, exist_ok=True)
    log = TEST_LOGS / f'build-{preset}.log'
    progress.begin(f'build {preset}')
    steps = [['cmake', '--preset', preset], ['cmake', '--build', '--preset', preset, '-j', jobs()]]
    if targets:
        steps[1] += ['--target', *targets]
    with open(log, 'w') as out:
        for argv in steps:
            if subprocess.run(argv, cwd=ROOT, stdout=out, stderr=subprocess.STDOUT, check=False).returncode != 0:
                progress.end(f'build {preset}: FAILED')
                lines = log.read_text(errors='replace').splitlines()
                shown = [line for line in lines if 'error:' in line or 'FAILED:' in line][:20] or lines[-20:]
                raise Failed(f'preset {preset} does not build ({log}):\n' + '\n'.join(shown))
    progress.end(f'build {preset}')
