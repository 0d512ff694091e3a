#!/usr/bin/python3
"""systemctl for the machines of tests/support/guide.py, where no systemd runs: starts, stops and reloads what the units say, as the user
that they say, with the folders and capabilities that they say. What it cannot do it refuses."""
import contextlib
import os
import pwd
import select
import shlex
import signal
import subprocess
import sys
from pathlib import Path

FOLDERS = [Path(p) for p in ('/etc/systemd/system', '/usr/lib/systemd/system', '/lib/systemd/system')]
RUN = Path('/run/systemctl')


def unit(name):
    """{key: [values]} of the section Service, or of Path."""
    name = name if '.' in name else name + '.service'
    path = next((f / name for f in FOLDERS if (f / name).exists()), None)
    if not path:
        sys.exit(f'Unit {name} could not be found.')
    values, text = {}, path.read_text().replace('\\\n', ' ')
    for line in text.splitlines():
        key, eq, value = line.strip().partition('=')
        if eq and not key.startswith('#'):
            values.setdefault(key.strip(), []).append(value.strip())
    return path.stem, values


def words(values, line):
    """An Exec line's words, with the variables of the environment files."""
    environment = dict(os.environ)
    for entry in values.get('Environment', []):
        environment |= dict(word.split('=', 1) for word in shlex.split(entry))
    for entry in values.get('EnvironmentFile', []):
        path = Path(entry.lstrip('-'))
        if path.exists():
            environment |= dict(part.split('=', 1) for text in path.read_text().splitlines()
                                if '=' in text and not text.startswith('#') for part in [text.replace('"', '').strip()])
    found = []
    for word in shlex.split(line.lstrip('-@+!')):
        if word.startswith('$') and word.strip('${}') in environment | {word.strip('${}'): ''}:
            found += environment.get(word.strip('${}'), '').split()
        else:
            found.append(word)
    return found, environment


def pid_of(name):
    path = RUN / name
    if not path.exists():
        return None
    pid = int(path.read_text())
    try:
        state = Path(f'/proc/{pid}/stat').read_text().rpartition(')')[2].split()[0]
    except OSError:
        return None
    return None if state == 'Z' else pid


def start(name, values):
    if pid_of(name):
        return
    argv, environment = words(values, values['ExecStart'][0])
    user = values.get('User', ['root'])[0]
    account = pwd.getpwnam(user)
    for kind, base in (('StateDirectory', '/var/lib'), ('RuntimeDirectory', '/run'), ('ConfigurationDirectory', '/etc')):
        for folder in ' '.join(values.get(kind, [])).split():
            path = Path(base, folder)
            path.mkdir(parents=True, exist_ok=True)
            os.chown(path, account.pw_uid, account.pw_gid)
            path.chmod(int(values.get(kind + 'Mode', ['0755'])[0], 8))
    if user != 'root':
        drop = ['setpriv', f'--reuid={user}', f'--regid={account.pw_gid}', '--init-groups', '--no-new-privs']
        names = [f'+{c.removeprefix("CAP_").lower()}' for c in ' '.join(values.get('AmbientCapabilities', [])).split()]
        argv = [*drop, *(f'--{kind}=-all,{",".join(names)}' if names else f'--{kind}=-all' for kind in ('inh-caps', 'ambient-caps', 'bounding-set')), *argv]
    for before in values.get('ExecStartPre', []):
        subprocess.run(words(values, before)[0], check=not before.startswith('-'), stdin=subprocess.DEVNULL)
    with open(f'/var/log/{name}.log', 'ab') as log:
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, cwd='/', start_new_session=True)
    kind = values.get('Type', ['simple'])[0]
    if kind in ('forking', 'oneshot'):
        if process.wait() != 0:
            sys.exit(f'Job for {name}.service failed, see /var/log/{name}.log')
        pid = Path(values['PIDFile'][0]).read_text() if 'PIDFile' in values else None
        if pid:
            (RUN / name).write_text(pid.strip())
        return
    (RUN / name).write_text(str(process.pid))
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(0.5)  # one that is wrong ends at once
        sys.exit(f'Job for {name}.service failed, see /var/log/{name}.log:\n' + Path(f'/var/log/{name}.log').read_text()[-2000:])


def stop(name):
    pid = pid_of(name)
    if pid:
        watched = os.pidfd_open(pid)
        os.kill(pid, signal.SIGTERM)
        if not select.select([watched], [], [], 60)[0]:
            sys.exit(f'{name}.service does not end')


def main():
    RUN.mkdir(exist_ok=True)
    argv = [word for word in sys.argv[1:] if word not in ('--now', '--quiet', '-q', '--no-pager')]
    verb, names = argv[0], argv[1:]
    if verb == 'daemon-reload' or (verb == 'enable' and '--now' not in sys.argv):
        return
    for given in names:
        name, values = unit(given)
        if verb in ('enable', 'start'):
            start(name, values)
        elif verb in ('stop', 'disable'):
            stop(name)
        elif verb == 'restart':
            stop(name)
            start(name, values)
        elif verb in ('reload', 'reload-or-restart'):
            if not pid_of(name):
                sys.exit(f'{name}.service is not active, cannot reload.')
            if 'ExecReload' in values:
                os.environ['MAINPID'] = str(pid_of(name))
                subprocess.run(words(values, values['ExecReload'][0])[0], check=True, stdin=subprocess.DEVNULL)
            else:
                os.kill(pid_of(name), signal.SIGHUP)
        elif verb == 'is-active':
            print('active' if pid_of(name) else 'inactive')
            if not pid_of(name):
                sys.exit(3)
        else:
            sys.exit(f'systemctl {verb}: not known to this stand-in')


main()
