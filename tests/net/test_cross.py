"""The programs on other machines: 32 bits, and the other byte order. Under qemu, so it takes long: tests/lab cross."""
import json
import re
import subprocess
import xml.etree.ElementTree as ElementTree

import pytest

from lab import cross
from lab.build import Progress

pytestmark = pytest.mark.host  # Debian's mirror is asked


@pytest.mark.long
@pytest.mark.parametrize('arch', cross.ARCHES)
def test_static_program_is_small(arch):
    built = cross.static(arch, Progress())
    assert built.said.startswith('nameplate ')
    assert built.size < cross.STATIC_BYTES_MAX, f'{built.size:,} bytes'


@pytest.mark.long
@pytest.mark.parametrize('arch', cross.ARCHES)
def test_unit_tests_pass(arch):
    """Unit tests, corpora and scenarios; tests/support/lab/cross.py says which cannot be tried so."""
    cases = {case.get('name'): case for case in ElementTree.parse(cross.tests(arch, Progress())).iter('testcase')}
    assert 'unit_base_sandbox_filter' in cases and 'corpus_dns_query' in cases and 'replay_first-boot' in cases
    assert ('unit_hq_store' in cases) == cross.ARCHES[arch][2]
    assert [name for name, case in cases.items() if case.get('status') != 'run'] == []


def test_what_is_left_out_exists(bin_dir):
    """Each of the expressions names something: nothing is left out that is not there any more."""
    names = subprocess.run(['ctest', '--test-dir', bin_dir.parent, '--show-only=json-v1'], capture_output=True, text=True, check=True).stdout
    names = [test['name'] for test in json.loads(names)['tests']]
    for expressions in cross.NOT_UNDER_QEMU.values():
        for expression in expressions:
            assert any(re.fullmatch(expression, name) for name in names), expression
