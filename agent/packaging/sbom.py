#!/usr/bin/python3
"""The bill of materials of a program: agent/packaging/sbom.py --build FOLDER PROGRAM --out FOLDER

Links the program of a build folder (CMake, Ninja) once more, to nowhere, and has the linker say which files it takes; asks dpkg
which packages those come from; and writes into --out

    PROGRAM.spdx.json            SPDX 2.3: what is linked, statically and dynamically, and what is vendored, with versions and licences
    THIRD-PARTY-LICENSES         the licence texts of all that

A library that LICENCES below does not know ends it with an error: read its copyright file, then add a line. With SOURCE_DATE_EPOCH
the result depends on the build alone."""
import argparse
import hashlib
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# Debian source package: the licence of what of it ends up in a program. Read from /usr/share/doc/*/copyright.
LICENCES = {
    'bearssl': 'MIT',
    'c-ares': 'MIT',
    'libconfuse': 'ISC',
    'curl': 'curl',
    'jansson': 'MIT',
    'ldns': 'BSD-3-Clause',
    'libmicrohttpd': 'LGPL-2.1-or-later',
    'libuv1': 'MIT AND ISC AND BSD-2-Clause',
    'openssl': 'Apache-2.0',
    'postgresql': 'PostgreSQL',
    'sqlite3': 'blessing',
    'glibc': 'LGPL-2.1-or-later',
    'gcc': 'GPL-3.0-or-later WITH GCC-exception-3.1',
    'cross-toolchain-base': 'LGPL-2.1-or-later',
}
# Files in the programs that come from elsewhere: (program, folder, pattern for the version in its README, name, licence, holder, home).
VENDORED = [
    ('nameplate', 'agent/front/pages/vendor', r'qrcode-generator\) ([\d.]+)', 'qrcode-generator', 'MIT', '2009 Kazuhiko Arase',
     'pkg:npm/qrcode-generator@{}', 'README.md'),
    ('nameplate-hq', 'hq/admin/assets/vendor', r'uPlot ([\d.]+)', 'uplot', 'MIT', 'Leon Sorokin', 'pkg:npm/uplot@{}', 'uPlot-LICENSE'),
]


class Unknown(Exception):
    """Something is linked that nobody has looked at."""


def run(*argv, **options):
    return subprocess.run([str(a) for a in argv], check=True, capture_output=True, text=True, **options).stdout


def link_command(build, program):
    """The words of the command that links the program, without its output."""
    line = run('ninja', '-C', build, '-t', 'commands', program).splitlines()[-1]
    words = shlex.split(line.removeprefix(': && ').removesuffix(' && :'))
    if words[0].endswith('ccache'):
        words = words[1:]
    at = words.index('-o')
    return words[:at] + words[at + 2:]


def linked(build, program, more=()):
    """(files outside of the build that the linker takes into the program, names of the libraries it will load)."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder, 'program')
        said = run(*link_command(build, program), *more, '-Wl,--trace', '-o', target, cwd=build)
        needed = re.findall(r'\(NEEDED\).*\[(.*)\]', run('readelf', '-d', target, env={**os.environ, 'LC_ALL': 'C'}))
    files = set()
    for line in said.splitlines():
        path = line.strip().removeprefix('(').split(')')[0]
        if os.path.isabs(path) and not Path(path).resolve().is_relative_to(Path(build).resolve()) and not path.endswith(('.ld', '.res', '.o')):
            files.add(Path(path))
        elif path.startswith('/') and re.search(r'/(crt|Scrt|gcrt)\w*\.o$', path):
            files.add(Path(path))
    return files, needed


def parts(build, program, more=()):
    """{(source package, version): {'binary', 'files', 'how', 'architecture'}} of what is linked."""
    files, needed = linked(build, program, more)
    taken = {}
    for path in sorted(files):
        real = path.resolve()
        shared = '.so' in real.name
        if not shared and real.suffix == '':
            continue
        if not shared or any(real.name.startswith(name) for name in needed):  # else looked at by the linker, and not needed
            taken[path] = (real, shared)
    owners = packages_of(taken)
    told = {line.split()[0]: line.split()[1:] for line in
            run('dpkg-query', '-W', '-f', '${binary:Package} ${source:Package} ${Version} ${Architecture}\n', *sorted(set(owners.values()))).splitlines()}
    found = {}
    for path, (real, shared) in taken.items():
        package = owners[path]
        source, version, architecture = told.get(package) or told[package.split(':')[0]]
        part = found.setdefault((source, version), {'binary': set(), 'files': set(), 'how': set(), 'architecture': architecture})
        part['binary'].add(package.split(':')[0])
        part['files'].add(real)
        part['how'].add('DYNAMIC_LINK' if shared else 'STATIC_LINK')
    return found


def packages_of(files):
    """{file: the Debian package that it belongs to}, by one of its names: /lib and /usr/lib are the same folder."""
    names = {}
    for path in files:
        for one in (path.resolve(), path):
            for name in (str(one), str(one).removeprefix('/usr'), '/usr' + str(one)):
                names.setdefault(name, path)
    said = subprocess.run(['dpkg', '-S', *names], capture_output=True, text=True, check=False).stdout
    owner = {}
    for line in said.splitlines():
        package, _, name = line.partition(': ')
        if name in names:
            owner.setdefault(name, package.split(',')[0])
    found = {}
    for name, path in names.items():
        if name in owner:
            found.setdefault(path, owner[name])
    for path in files:
        if path not in found:
            raise Unknown(f'{path} is linked and belongs to no Debian package: what is it, and under which licence?')
    return found


def licence(source):
    """By the name of a source package, whose version may be a part of it (gcc-12, postgresql-15)."""
    plain = re.sub(r'-\d+(-cross\w*)?$', '', source)
    if plain not in LICENCES:
        raise Unknown(f'the Debian source package {source} is linked and not in the bill of materials: read /usr/share/doc/*/copyright of it, '
                      f'then add its licence to LICENCES in agent/packaging/sbom.py')
    return LICENCES[plain]


def identifier(text):
    return 'SPDXRef-' + re.sub(r'[^A-Za-z0-9.-]', '-', text)


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def version_of_ours():
    return re.search(r'^project\(.*VERSION ([\d.]+)', (ROOT / 'CMakeLists.txt').read_text(), re.M)[1]


def vendored(program):
    """[(name, version, licence, holder, locator, files, file with the licence text)]"""
    found = []
    for owner_program, folder, pattern, name, licence_id, holder, locator, text in VENDORED:
        if owner_program == program:
            version = re.search(pattern, (ROOT / folder / 'README.md').read_text())[1]
            files = [path for path in sorted((ROOT / folder).iterdir()) if path.suffix in ('.js', '.css')]
            found.append((name, version, licence_id, holder, locator.format(version), files, ROOT / folder / text))
    return found


def document(build, program, more=()):
    """The SPDX document."""
    created = time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime(int(os.environ.get('SOURCE_DATE_EPOCH', time.time()))))
    main = identifier(program)
    packages = [{
        'SPDXID': main, 'name': program, 'versionInfo': version_of_ours(), 'supplier': 'Organization: the nameplate authors',
        'downloadLocation': 'NOASSERTION', 'filesAnalyzed': False, 'licenseConcluded': 'MIT', 'licenseDeclared': 'MIT',
        'copyrightText': '2026 the nameplate authors', 'primaryPackagePurpose': 'APPLICATION'}]
    relations = [{'spdxElementId': 'SPDXRef-DOCUMENT', 'relationshipType': 'DESCRIBES', 'relatedSpdxElement': main}]
    for (source, version), part in sorted(parts(build, program, more).items()):
        name, names = identifier(f'deb-{source}'), ', '.join(sorted(part['binary']))
        packages.append({
            'SPDXID': name, 'name': source, 'versionInfo': version, 'supplier': 'Organization: Debian', 'downloadLocation': 'NOASSERTION',
            'filesAnalyzed': False, 'licenseConcluded': licence(source), 'licenseDeclared': licence(source), 'copyrightText': 'NOASSERTION',
            'comment': f'Debian package {names}: ' + ', '.join(sorted(path.name for path in part['files'])), 'primaryPackagePurpose': 'LIBRARY',
            'externalRefs': [{'referenceCategory': 'PACKAGE-MANAGER', 'referenceType': 'purl',
                              'referenceLocator': f'pkg:deb/debian/{binary}@{version.replace(":", "%3A").replace("+", "%2B")}?arch={part["architecture"]}'}
                             for binary in sorted(part['binary'])]})
        for how in sorted(part['how']):
            relations.append({'spdxElementId': main, 'relationshipType': how, 'relatedSpdxElement': name})
    for name, version, licence_id, holder, locator, files, _ in vendored(program):
        one = identifier(f'vendored-{name}')
        packages.append({
            'SPDXID': one, 'name': name, 'versionInfo': version, 'supplier': 'NOASSERTION', 'downloadLocation': 'NOASSERTION', 'filesAnalyzed': False,
            'licenseConcluded': licence_id, 'licenseDeclared': licence_id, 'copyrightText': holder, 'primaryPackagePurpose': 'LIBRARY',
            'comment': 'In the source: ' + ', '.join(f'{path.relative_to(ROOT)} (SHA-256 {digest(path)})' for path in files),
            'externalRefs': [{'referenceCategory': 'PACKAGE-MANAGER', 'referenceType': 'purl', 'referenceLocator': locator}]})
        relations.append({'spdxElementId': main, 'relationshipType': 'CONTAINS', 'relatedSpdxElement': one})
    whole = {
        'spdxVersion': 'SPDX-2.3', 'dataLicense': 'CC0-1.0', 'SPDXID': 'SPDXRef-DOCUMENT', 'name': f'{program}-{version_of_ours()}',
        'creationInfo': {'created': created, 'creators': ['Tool: nameplate-sbom', 'Organization: the nameplate authors']},
        'packages': packages, 'relationships': relations}
    mark = hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()[:32]
    return {**whole, 'documentNamespace': f'https://nameplate.example/spdx/{program}-{version_of_ours()}-{mark}'}


def licences(build, program):
    """The licence texts, one behind the other."""
    texts = [f'What {program} {version_of_ours()} is linked with or contains, and under which terms.\n']
    for (source, version), part in sorted(parts(build, program).items()):
        documents = [Path('/usr/share/doc', name, 'copyright') for name in sorted(part['binary'])]
        text = next((path.read_text(errors='replace') for path in documents if path.exists()), None)
        if text is None:
            raise Unknown(f'{documents[0]} is not there: the licence of {source} cannot be passed on')
        texts.append(f'{"=" * 78}\n{source} {version} ({licence(source)})\n{"=" * 78}\n\n{text}')
    for name, version, licence_id, _, _, _, path in vendored(program):
        texts.append(f'{"=" * 78}\n{name} {version} ({licence_id})\n{"=" * 78}\n\n{path.read_text()}')
    return '\n'.join(texts)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('program', choices=('nameplate', 'nameplate-hq'))
    parser.add_argument('--build', type=Path, required=True, help='the folder that it was built in')
    parser.add_argument('--out', type=Path, required=True)
    arguments = parser.parse_args()
    try:
        spdx, texts = document(arguments.build, arguments.program), licences(arguments.build, arguments.program)
    except Unknown as unknown:
        sys.exit(f'sbom: {unknown}')
    except subprocess.CalledProcessError as failed:
        sys.exit(f'sbom: {" ".join(failed.cmd)[:200]} failed:\n{failed.stderr[-1000:]}')
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / f'{arguments.program}.spdx.json').write_text(json.dumps(spdx, indent=1) + '\n')
    (arguments.out / 'THIRD-PARTY-LICENSES').write_text(texts)
    print(f'{len(spdx["packages"]) - 1} parts of {arguments.program}: {arguments.out}/{arguments.program}.spdx.json')


if __name__ == '__main__':
    main()
