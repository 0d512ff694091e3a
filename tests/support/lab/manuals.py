"""The parts of the manual pages that say what the programs' --help says: made from it, and compared with it by a test.

    sudo tests/lab manuals      writes them anew after a verb, an option or a key has changed
"""
import re
import subprocess

from lab.namespaces import Failed
from lab.paths import ROOT

FOLDER = ROOT / 'docs' / 'man'
# Verbs have their own help; these are no verbs of anybody's.
NO_VERBS = {'help', 'version', '--help', '--version'}


def help_of(bin_dir, *argv):
    """What a program, or a verb of it, says to --help."""
    done = subprocess.run([str(bin_dir / argv[0]), *argv[1:], '--help'], capture_output=True, text=True, check=False, timeout=20)
    if done.returncode != 0 or not done.stdout:
        raise Failed(f'{" ".join(argv)} --help failed: {done.stderr}')
    return done.stdout


def agent_verbs(bin_dir):
    return [line.split()[0] for line in help_of(bin_dir, 'nameplate').splitlines() if re.match(r'  [a-z]', line)]


def hq_verbs(bin_dir):
    found = re.findall(r'^  nameplate-hq ([a-z-]+)', help_of(bin_dir, 'nameplate-hq'), re.MULTILINE)
    return list(dict.fromkeys(found))


def _escape(text):
    text = text.replace('\\', '\\e').replace('-', '\\-')
    return '\\&' + text if text.startswith(('.', "'")) else text


def _literal(text):
    return '.Bd -literal\n' + ''.join(_escape(line) + '\n' for line in text.rstrip().splitlines()) + '.Ed\n'


def _verbs(bin_dir, program, names):
    """A subsection for each verb, with its help as it is. Keys of a configuration stand in section 5."""
    parts = []
    for name in names:
        if name in NO_VERBS:
            continue
        said = re.split(r'\n+Keys of (?:the|a target\'s) file:\n', help_of(bin_dir, program, name))
        rest = said[1].partition('\n\n')[2] if len(said) > 1 else ''
        parts.append(f'.Ss {name}\n' + _literal(said[0] + ('\n\n' + rest if rest else '')))
        for action in re.findall(r'^  ([a-z]+)  ', said[0], re.MULTILINE) if (program, name) == ('nameplate', 'config') else ():
            parts.append(_literal(help_of(bin_dir, program, name, action)))
    return ''.join(parts)


def keys(text):
    """[(key, what it is)] of a help that lists keys."""
    lines = re.split(r'\nKeys of (?:the|a target\'s) file:\n', text)[1].partition('\n\n')[0].splitlines()
    return [tuple(re.fullmatch(r'  (\S+) +(.*)', line).groups()) for line in lines]


def _keys(text):
    return '.Bl -tag -width Ds\n' + ''.join(f'.It Ic {_escape(key)}\n{_escape(said)}\n' for key, said in keys(text)) + '.El\n'


def parts(bin_dir):
    """{(page, part): text}"""
    return {
        ('nameplate.8', 'verbs'): _verbs(bin_dir, 'nameplate', agent_verbs(bin_dir)),
        ('nameplate-hq.8', 'verbs'): _verbs(bin_dir, 'nameplate-hq', hq_verbs(bin_dir)),
        ('nameplate.conf.5', 'agent-keys'): _keys(help_of(bin_dir, 'nameplate', 'agent')),
        ('nameplate.conf.5', 'deploy-keys'): _keys(help_of(bin_dir, 'nameplate', 'deploy')),
        ('nameplate-hq.conf.5', 'hq-keys'): _keys(help_of(bin_dir, 'nameplate-hq', 'serve')),
    }


def pages(bin_dir):
    """{page: its text as it should be}"""
    texts = {}
    for (page, part), said in parts(bin_dir).items():
        text = texts.get(page) or (FOLDER / page).read_text()
        begin, end = f'.\\" {part} begin\n', f'.\\" {part} end\n'
        if begin not in text or end not in text:
            raise Failed(f'docs/man/{page} has no place for {part}')
        texts[page] = text[:text.index(begin) + len(begin)] + said + text[text.index(end):]
    return texts


def write(bin_dir):
    """The pages, and the shells' completion, which is made from the same."""
    from lab import completions
    completions.write(bin_dir)
    for page, text in pages(bin_dir).items():
        if (FOLDER / page).read_text() != text:
            (FOLDER / page).write_text(text)
            print(f'docs/man/{page} is written anew')
