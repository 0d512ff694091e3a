"""Where things are, and under which names. NAMEPLATE_LAB=other gives a second lab its own names on the same machine."""
import os
import re
import zlib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
BUILD = ROOT / 'build'

LAB = os.environ.get('NAMEPLATE_LAB', 'np')
if not re.fullmatch(r'[a-z][a-z0-9]{0,7}', LAB):
    raise SystemExit('lab: NAMEPLATE_LAB must be 1 to 8 small letters and digits')
PREFIX = f'{LAB}-'

# Not under the clone: the box's and the laptop's users cannot read /root or another user's home. Not on a tmpfs: the
# times shown include real fsyncs. Not /run: it is mounted noexec on Debian.
STATE = Path('/var/lib/nameplate-lab' if LAB == 'np' else f'/var/lib/nameplate-lab-{LAB}')
LOCK = Path(f'/run/nameplate-lab-{LAB}.lock')
NETNS_ETC = Path('/etc/netns')
LOGS = BUILD / ('lab' if LAB == 'np' else f'lab-{LAB}') / 'logs'

# Users without a name, which own nothing else on the machine: down ends every process of theirs.
BOX_UID, LAPTOP_UID, HQ_UID = (684100 + zlib.crc32(LAB.encode()) % 1000 * 10 + n for n in range(3))


def find_bin_dir():
    """The build to run: $NAMEPLATE_BIN, or the release build, or the dev build."""
    if os.environ.get('NAMEPLATE_BIN'):
        return Path(os.environ['NAMEPLATE_BIN']).resolve()
    for preset in ('release', 'dev'):
        if (BUILD / preset / 'bin' / 'nameplate').exists():
            return BUILD / preset / 'bin'
    return BUILD / 'release' / 'bin'


def give_back(path=BUILD):
    """After sudo: what was built belongs to the person who typed it."""
    uid, gid = os.environ.get('SUDO_UID'), os.environ.get('SUDO_GID')
    if not uid or os.getuid() != 0 or not path.exists():
        return
    for folder, _, names in os.walk(path):
        for entry in [folder, *(os.path.join(folder, name) for name in names)]:
            os.chown(entry, int(uid), int(gid or uid), follow_symlinks=False)
