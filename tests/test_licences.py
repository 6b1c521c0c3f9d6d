# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import pytest

from tests import licences

PAGE = licences.ROOT / 'docs' / 'safety.md'


def test_every_pinned_package_allows_commercial_use():
    rows = licences.audit(*licences.ROOT.glob('constraints*.txt'))
    assert [row for row in rows if row[2].startswith('?')] == []
    listed = PAGE.read_text()
    missing = [row for row in licences.table(rows)[2:] if row not in listed]
    assert missing == [], 'run python -m tests.licences for docs/safety.md'


class Package:
    """A package that says something of its licence."""

    files = ()

    def __init__(self, **lines):
        self.lines = lines

    @property
    def metadata(self):
        return self

    def get(self, key):
        return self.lines.get(key)

    def get_all(self, key, default):
        return self.lines.get(key, default)


@pytest.mark.parametrize(
    ('lines', 'licence'),
    [
        ({'License-Expression': 'MIT AND (0BSD OR Zlib)'}, 'MIT, 0BSD, Zlib'),
        ({'License-Expression': 'MIT AND CC-BY-NC-4.0'}, '? MIT AND CC-BY'),
        ({'License': 'NVIDIA Source Code License'}, '? NVIDIA Source'),
        ({'License': 'BSD', 'Classifier': []}, 'BSD'),
        ({'Classifier': ['License :: Free for non-commercial use']}, '? Free'),
        ({'License': 'Apache License\nVersion 2.0'}, 'Apache-2.0'),
        ({}, '? '),
    ],
)
def test_what_is_not_known_is_marked(monkeypatch, lines, licence):
    monkeypatch.setattr(licences, 'distribution', lambda _: Package(**lines))
    assert licences.licence_of('name').startswith(licence)


def test_what_is_not_installed_is_marked(tmp_path):
    pins = tmp_path / 'constraints.txt'
    pins.write_text('# none\nno-such-package==1.0\n')
    assert licences.audit(pins) == [
        ('no-such-package', '1.0', '? not installed')
    ]
