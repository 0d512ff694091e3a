"""The bills of materials (agent/packaging/sbom.py): SPDX 2.3 as its specification has it, complete for what is really linked, and loud
about what nobody has looked at."""
import importlib.util
import re
import subprocess

import pytest

from lab import build as lab_build
from lab.paths import BUILD, ROOT

PROGRAMS = ('nameplate', 'nameplate-hq')
# Identifiers of the SPDX licence list that may come up.
IDENTIFIERS = {'MIT', 'ISC', 'BSD-2-Clause', 'BSD-3-Clause', 'Apache-2.0', 'PostgreSQL', 'curl', 'blessing', 'LGPL-2.1-or-later', 'GPL-3.0-or-later',
               'GCC-exception-3.1'}
RELATIONS = {'DESCRIBES', 'STATIC_LINK', 'DYNAMIC_LINK', 'CONTAINS'}


@pytest.fixture(scope='module')
def sbom():
    spec = importlib.util.spec_from_file_location('sbom', ROOT / 'agent/packaging/sbom.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope='module')
def build(bin_dir):
    folder = bin_dir.parent
    if not (folder / 'build.ninja').exists():
        pytest.fail(f'{folder} is no build folder: run sudo tests/lab build')
    return folder


@pytest.fixture(scope='module', params=PROGRAMS)
def program(request):
    return request.param


@pytest.fixture(scope='module')
def document(sbom, build, program):
    return sbom.document(build, program)


def test_is_spdx(document, program):
    """The members that SPDX 2.3 requires (sections 6, 7 and 11), and that all of it hangs together."""
    assert (document['spdxVersion'], document['dataLicense'], document['SPDXID']) == ('SPDX-2.3', 'CC0-1.0', 'SPDXRef-DOCUMENT')
    assert re.fullmatch(r'https://[^#\s]+', document['documentNamespace']) and document['name'].startswith(program)
    assert re.fullmatch(r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ', document['creationInfo']['created'])
    assert all(re.match(r'(Tool|Organization|Person): \S', creator) for creator in document['creationInfo']['creators'])
    ids = [package['SPDXID'] for package in document['packages']]
    assert len(ids) == len(set(ids)) and all(re.fullmatch(r'SPDXRef-[A-Za-z0-9.-]+', one) for one in ids)
    for package in document['packages']:
        assert package['name'] and package['versionInfo'] and package['filesAnalyzed'] is False
        assert package['downloadLocation'] and package['copyrightText']
        assert re.match(r'(Organization: |Person: |NOASSERTION$)', package['supplier'])
        for field in ('licenseDeclared', 'licenseConcluded'):
            assert set(re.split(r' (?:AND|OR|WITH) ', package[field])) <= IDENTIFIERS, package
        for reference in package.get('externalRefs', []):
            assert (reference['referenceCategory'], reference['referenceType']) == ('PACKAGE-MANAGER', 'purl')
            assert re.fullmatch(r'pkg:(deb/debian|npm)/[a-z0-9.+-]+@[^\s@]+', reference['referenceLocator'])
    known = {*ids, 'SPDXRef-DOCUMENT'}
    told = set()
    for relation in document['relationships']:
        assert relation['relationshipType'] in RELATIONS
        assert {relation['spdxElementId'], relation['relatedSpdxElement']} <= known
        told.add(relation['relatedSpdxElement'])
    assert told == set(ids), 'every part is related to the program'


def test_is_complete(document, program, bin_dir):
    """What the program asks the loader for is in it, and what is vendored in its source."""
    comments = ' '.join(package.get('comment', '') for package in document['packages'])
    needed = re.findall(r'\(NEEDED\).*\[(.*)\]', subprocess.run(['readelf', '-d', bin_dir / program], check=True, capture_output=True, text=True,
                                                                env={'LC_ALL': 'C', 'PATH': '/usr/bin:/bin'}).stdout)
    assert needed
    for name in needed:
        assert name in comments, f'{program} needs {name}, which is in no part of its bill of materials'
    source = {'nameplate': 'agent', 'nameplate-hq': 'hq'}[program]
    for path in (ROOT / source).rglob('vendor/*'):
        if path.suffix in ('.js', '.css'):
            assert str(path.relative_to(ROOT)) in comments


def test_a_new_library_is_noticed(sbom, build, program, tmp_path):
    """One that Debian has and nobody has looked at; and one that comes from nowhere."""
    with pytest.raises(sbom.Unknown, match='cmocka.*not in the bill of materials'):
        sbom.document(build, program, ('-Wl,--no-as-needed', '-lcmocka'))
    (tmp_path / 'x.c').write_text('int nobody_knows_me(void);\nint nobody_knows_me(void) { return 1; }\n')
    subprocess.run('gcc -c x.c && ar rcs libunknown.a x.o', shell=True, cwd=tmp_path, check=True)
    with pytest.raises(sbom.Unknown, match='libunknown.a.*no Debian package'):
        sbom.document(build, program, ('-Wl,--undefined=nobody_knows_me', tmp_path / 'libunknown.a'))


@pytest.mark.long
def test_static_program(sbom):
    """Without any shared library everything is linked statically, and the bill of materials says so."""
    lab_build.build('static', targets=('nameplate',))
    document = sbom.document(BUILD / 'static', 'nameplate')
    kinds = {relation['relationshipType'] for relation in document['relationships']}
    names = {re.sub(r'-\d+$', '', package['name']) for package in document['packages']}
    assert kinds == {'DESCRIBES', 'STATIC_LINK', 'CONTAINS'}
    assert names == {'nameplate', 'bearssl', 'c-ares', 'gcc', 'glibc', 'jansson', 'libconfuse', 'libuv1', 'qrcode-generator'}


def test_licence_texts(sbom, build, program, document):
    texts = sbom.licences(build, program)
    for package in document['packages'][1:]:
        assert f'\n{package["name"]} {package["versionInfo"]} ({package["licenseDeclared"]})\n' in texts
    assert 'Permission is hereby granted' in texts


def test_reproducible(sbom, build, program, document, monkeypatch):
    monkeypatch.setenv('SOURCE_DATE_EPOCH', '1795000000')
    again = sbom.document(build, program)
    assert again['creationInfo']['created'] == '2026-11-18T11:06:40Z'
    assert [again[member] for member in ('packages', 'relationships')] == [document[member] for member in ('packages', 'relationships')]
