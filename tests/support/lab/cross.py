"""`tests/lab cross`: the programs for other machines, by Debian's cross compilers, and their tests under qemu.

    armhf, mipsel   32 bits; nameplate alone: HQ is for servers
    arm64           what most gateways are today
    s390x           big-endian: nobody's gateway, but the one machine of Debian 12 that finds wrong byte order

The foreign libraries are unpacked into build/sysroot/ARCH: nothing of them is installed, and dpkg learns no foreign
architecture. tests/support/cross.cmake is the toolchain, CMakePresets.json has the presets cross-ARCH and cross-ARCH-static.
"""
import json
import shutil
import subprocess

from lab.build import TEST_LOGS, Progress, build, jobs
from lab.namespaces import Failed
from lab.paths import BUILD, ROOT

# Debian's architecture: (prefix of the tools, qemu's name, whether HQ is built).
ARCHES = {
    'armhf': ('arm-linux-gnueabihf', 'arm', False),
    'arm64': ('aarch64-linux-gnu', 'aarch64', True),
    'mipsel': ('mipsel-linux-gnu', 'mipsel', False),
    's390x': ('s390x-linux-gnu', 's390x', True),
}
AGENT_LIBRARIES = ('libc6-dev', 'libuv1-dev', 'libbearssl-dev', 'libc-ares-dev', 'libjansson-dev', 'libconfuse-dev', 'libcmocka-dev')
HQ_LIBRARIES = ('libcurl4-openssl-dev', 'libsqlite3-dev', 'libpq-dev', 'libmicrohttpd-dev', 'libssl-dev', 'libldns-dev')
MIRROR = 'http://deb.debian.org/debian'
STATIC_BYTES_MAX = 2_000_000  # stripped: what a gateway's flash is asked for

# What cannot be tried under qemu's user mode (regular expressions), and why. Everything else that fails is a defect of ours.
EVERYWHERE = {
    'unit_agent_child': 'it starts itself anew, which the host would have to know how to run',
    'unit_base_channel': 'qemu does not say that control data was cut on its way',
    'unit_base_sandbox': 'qemu has neither seccomp nor Landlock; unit_base_sandbox_filter runs the filter itself',
    'unit_agent_(stream|hqclient)': 'their deadlines are those of a real machine',
    'unit_hq_frontdoor': 'its deadlines are those of a real machine',
    'replay_(lifecycle_.*|power_cut_anywhere)': 'months of simulated time take hours; the other scenarios run the same code',
}
NOT_UNDER_QEMU = {arch: EVERYWHERE for arch in ARCHES}
NOT_UNDER_QEMU['s390x'] = EVERYWHERE | {'unit_agent_holder': 'the host\'s /proc/net/tcp has the host\'s byte order'}


class Built:
    """What was made for one architecture."""

    def __init__(self, arch, program, size, said):
        self.arch, self.program, self.size, self.said = arch, program, size, said


def sysroot(arch, progress):
    """The foreign libraries in build/sysroot/ARCH; unpacked anew when the list of them has changed."""
    folder = BUILD / 'sysroot' / arch
    wanted = [*AGENT_LIBRARIES, *(HQ_LIBRARIES if ARCHES[arch][2] else ())]
    mark = folder / 'nameplate-packages'
    if mark.exists() and json.loads(mark.read_text()) == wanted:
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    TEST_LOGS.mkdir(parents=True, exist_ok=True)
    log = TEST_LOGS / f'sysroot-{arch}.log'
    progress.begin(f'{arch}: libraries')
    with open(log, 'w') as out:
        done = subprocess.run(['mmdebstrap', '--mode=root', '--variant=extract', f'--architectures={arch}', f'--include={",".join(wanted)}',
                               'bookworm', folder, MIRROR], stdout=out, stderr=subprocess.STDOUT, check=False)
    progress.end(f'{arch}: libraries')
    if done.returncode != 0:
        raise Failed(f'the libraries for {arch} cannot be had ({log}):\n' + '\n'.join(log.read_text(errors='replace').splitlines()[-10:]))
    mark.write_text(json.dumps(wanted))
    return folder


def static(arch, progress):
    """The device's program without any shared library, stripped, as a vendor would ship it."""
    sysroot(arch, progress)
    build(f'cross-{arch}-static', progress)
    made = BUILD / f'cross-{arch}-static' / 'bin' / 'nameplate'
    stripped = made.with_name('nameplate-stripped')
    subprocess.run([f'{ARCHES[arch][0]}-strip', '-o', stripped, made], check=True)
    done = subprocess.run([f'qemu-{ARCHES[arch][1]}-static', stripped, 'version'], capture_output=True, text=True, check=False, timeout=60)
    if done.returncode != 0:
        raise Failed(f'{stripped} does not run: {done.stderr}')
    return Built(arch, stripped, stripped.stat().st_size, done.stdout.strip())


def tests(arch, progress):
    """Builds the programs with their tests and runs those; the JUnit file."""
    sysroot(arch, progress)
    preset = f'cross-{arch}'
    build(preset, progress)
    junit = TEST_LOGS / f'{preset}.xml'
    junit.unlink(missing_ok=True)
    progress.begin(f'{arch}: tests under qemu')
    with open(TEST_LOGS / f'{preset}.log', 'w') as log:
        subprocess.run(['ctest', '--preset', preset, '--output-junit', junit, '-j', jobs(), '-E', f'^({"|".join(NOT_UNDER_QEMU[arch])})$',
                        '--test-output-size-passed', '1000000', '--test-output-size-failed', '1000000'],
                       cwd=ROOT, stdout=log, stderr=subprocess.STDOUT, check=False)
    progress.end(f'{arch}: tests under qemu')
    return junit


def run(arches):
    """All of it for the architectures (none: every one). The exit status."""
    from lab.runner import Tally
    unknown = [arch for arch in arches if arch not in ARCHES]
    if unknown:
        raise Failed(f'{unknown[0]} is not known: {", ".join(ARCHES)}')
    progress, tally = Progress(), Tally()
    for arch in arches or ARCHES:
        made = static(arch, progress)
        verdict = 'under' if made.size < STATIC_BYTES_MAX else 'OVER'
        print(f'          {arch}: {made.said}, static and stripped {made.size:,} bytes, {verdict} {STATIC_BYTES_MAX:,}', flush=True)
        if made.size >= STATIC_BYTES_MAX:
            tally.part_failed(f'{arch}: size', f'{made.program} has {made.size:,} bytes')
        tally.read_junit(tests(arch, progress), f'{arch}: tests under qemu')
        for name, why in NOT_UNDER_QEMU[arch].items():
            print(f'          {arch}: without {name}: {why}', flush=True)
    print(f'{tally.passed} passed, {tally.failed} failed', flush=True)
    return 0 if tally.passed and not tally.failed else 1
