# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""The licences of the pinned dependencies, as they state them.

``python -m tests.licences`` lists them as Markdown and fails on one that is
not known to allow commercial use. Of the two families of OpenMMLab's packages
it lists the one that is installed.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from rich.console import Console

from mmseg_cag.stack import PROVIDERS

ROOT = Path(__file__).parents[1]
PIN = re.compile(r'([\w.-]+)==([\w.]+)')
# What packages call a licence that allows commercial use -> its SPDX name.
KNOWN = {
    'apache': 'Apache-2.0',
    'apache 2.0': 'Apache-2.0',
    'apache license': 'Apache-2.0',
    'apache software license': 'Apache-2.0',
    'licenseref-apache-2.0': 'Apache-2.0',
    'bsd': 'BSD',
    'bsd license': 'BSD',
    'freebsd': 'BSD-2-Clause',
    '3-clause bsd license': 'BSD-3-Clause',
    'mit license': 'MIT',
    'mozilla public license 2.0 (mpl 2.0)': 'MPL-2.0',
    'python software foundation license': 'PSF-2.0',
}
NAMES = (
    '0BSD Apache-2.0 BSD-2-Clause BSD-3-Clause BSL-1.0 CC0-1.0 CNRI-Python '
    'LLVM-exception MIT MIT-CMU MPL-2.0 PSF-2.0 Zlib'
)
KNOWN |= {name.lower(): name for name in NAMES.split()}
# What is installed of these is under other licences than all that they have.
PARTS = {
    # Under the GPL is a mode for Emacs alone, which no wheel has.
    'docutils': 'Public domain, BSD-2-Clause, BSD-3-Clause',
}
# How the text of a licence begins, where the package names none.
TEXTS = {
    'Apache-2.0': re.compile(r'Apache License,?\s+Version 2\.0'),
    'MIT': re.compile(r'MIT License\s+Copyright'),
}
JOINED = re.compile(r'\s+(?:AND|OR|WITH)\s+|[()]')


def audit(*files: Path) -> list[tuple[str, str, str]]:
    """List name, version and licence of what is pinned.

    Args:
        files: Constraints of pip.

    Returns:
        A row for each pin; a licence that is not known begins with ``?``.
    """
    pins = dict(pin for file in files for pin in PIN.findall(file.read_text()))
    other = {
        family
        for families in PROVIDERS.values()
        for family in families
        if not _is_installed(family)
    }
    return [
        (name, version, licence_of(name))
        for name, version in sorted(pins.items(), key=lambda p: p[0].lower())
        if name not in other
    ]


def licence_of(name: str) -> str:
    """Find the licence of an installed package."""
    try:
        package = distribution(name)
    except PackageNotFoundError:
        return '? not installed'
    if name in PARTS:
        return PARTS[name]
    stated = []
    for terms in _statements(package):
        parts = [part for part in JOINED.split(terms) if part.strip()]
        known = [KNOWN.get(part.strip().lower()) for part in parts]
        if known and all(known):
            return ', '.join(dict.fromkeys(known))
        stated.append(terms)
    return f'? {"; ".join(stated)[:60]}'


def _statements(package: Distribution) -> Iterator[str]:
    """List what a package says of its licence, the clearest first."""
    meta = package.metadata
    if expression := meta.get('License-Expression'):
        yield expression
    classifiers = [
        line.rpartition(' :: ')[2]
        for line in meta.get_all('Classifier', [])
        if line.startswith('License ::')
    ]
    if classifiers:
        yield ' AND '.join(classifiers)
    text = (meta.get('License') or '').strip()
    if text and '\n' not in text:
        yield text
    for content in (text, *_texts(package)):
        for name, beginning in TEXTS.items():
            if beginning.search(content[:500]):
                yield name


def _texts(package: Distribution) -> Iterator[str]:
    for file in package.files or ():
        if file.name.upper().startswith(('LICENSE', 'LICENCE', 'COPYING')):
            yield file.read_text(encoding='utf-8')


def _is_installed(name: str) -> bool:
    return licence_of(name) != '? not installed'


def table(rows: list[tuple[str, str, str]]) -> list[str]:
    """Write the list as Markdown."""
    lines = ['| package | version | licence |', '|---|---|---|']
    return lines + [f'| {" | ".join(row)} |' for row in rows]


def main() -> int:
    """Print the list; returns 1 if a licence is not known."""
    rows = audit(*sorted(ROOT.glob('constraints*.txt')))
    for line in table(rows):
        Console().print(line, markup=False, highlight=False, soft_wrap=True)
    return int(any(licence.startswith('?') for _, _, licence in rows))


if __name__ == '__main__':
    sys.exit(main())
