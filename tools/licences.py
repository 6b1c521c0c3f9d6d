# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""List licence obligations of a network: ``licences.py CHECKPOINT``.

CHECKPOINT is a run's checkpoint, an exported student (*.pth) or ONNX file.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from mmseg_cag.engine.records.descent import (
    DESCENT,
    Entry,
    descent_in,
    read_descent,
)
from mmseg_cag.errors import MissingFileError, UserError, exit_on_user_error

SHORT = 12  # displayed characters of a hash


class Terms(NamedTuple):
    """Terms of a licence for redistribution.

    Attributes:
        commercial: Whether it permits commercial use.
        passed_on: What to pass on with the work; may be empty.
    """

    commercial: bool
    passed_on: str


NOTICE = 'its text and copyright notice'
CREDIT = 'credit, and a note of changes'
ALIKE = f'{CREDIT}; the same licence for what is made of it'
OWN = 'its own terms'
SOURCE = 'the source, under the same licence'
TERMS = {
    'Apache-2.0': Terms(True, f'{NOTICE}, a note of changes'),
    'BSD-2-Clause': Terms(True, NOTICE),
    'BSD-3-Clause': Terms(True, NOTICE),
    'MIT': Terms(True, NOTICE),
    'CC0-1.0': Terms(True, ''),
    'CC-BY-4.0': Terms(True, CREDIT),
    'CC-BY-SA-4.0': Terms(True, ALIKE),
    'CC-BY-NC-4.0': Terms(False, CREDIT),
    'CC-BY-NC-SA-3.0': Terms(False, ALIKE),
    'CC-BY-NC-SA-4.0': Terms(False, ALIKE),
    'GPL-3.0-only': Terms(True, SOURCE),
    'AGPL-3.0-only': Terms(True, SOURCE),
    'LicenseRef-ACDC': Terms(False, OWN),
    'LicenseRef-Cityscapes': Terms(False, OWN),
    'LicenseRef-Dark-Zurich': Terms(False, OWN),
    'LicenseRef-GTA5': Terms(False, OWN),
    'LicenseRef-ImageNet': Terms(False, OWN),
    'LicenseRef-NVIDIA-SegFormer': Terms(False, OWN),
}


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('checkpoint', type=Path, help='*.pth or *.onnx')
    args = parser.parse_args()
    with exit_on_user_error(ImportError):
        chain = read_chain(args.checkpoint)
    show(chain)
    for line in (*warnings(chain), *obligations(chain)):
        print(line)


def read_chain(path: Path) -> list[Entry]:
    """Read the provenance of a network.

    Raises:
        MissingFileError: There is no such file.
        UserError: It is no network, or has no provenance.
    """
    if not path.is_file():
        raise MissingFileError(f'{path}: checkpoint not found')
    chain = read_onnx(path) if path.suffix == '.onnx' else read_descent(path)
    if not chain:
        raise UserError(
            f'{path}: has no provenance, expected a checkpoint of version '
            '0.2 or later, or an export of one'
        )
    return chain


def read_onnx(path: Path) -> list[Entry]:
    """Read the provenance stored in an ONNX file.

    Raises:
        UserError: It is no ONNX file.
    """
    import onnx

    try:
        content = onnx.load(path, load_external_data=False)
        notes = {p.key: p.value for p in content.metadata_props}
        return descent_in({DESCENT: json.loads(notes.get(DESCENT, '[]'))})
    # On bytes that are no ONNX file, the reader raises various errors.
    except Exception as error:
        raise UserError(
            f'{path}: cannot be read as ONNX ({type(error).__name__})'
        ) from error


def show(chain: list[Entry]) -> None:
    """Print the provenance as a table."""
    table = Table('', 'what', 'licence', 'SHA-256', 'used as')
    for one in chain:
        licence = one['licence'] or ('' if one['kind'] == 'run' else 'unknown')
        digest = (one['sha256'] or '')[:SHORT]
        cells = (one['kind'], one['name'], licence, digest, one['used_as'])
        table.add_row(*map(str, cells))
    Console(markup=False, highlight=False).print(table)


def warnings(chain: list[Entry]) -> Iterator[str]:
    """Warn of non-commercial and unknown licences."""
    for one in _licensed(chain):
        licence, what = one['licence'], f'{one["kind"]} {one["name"]}'
        if licence is None:
            yield (
                f'warning: {what}: has no known licence; look it up, and '
                "state it in the config's licences before the next training"
            )
        elif licence not in TERMS:
            yield f'warning: {what}: {licence} is not in our list, read it'
        elif not TERMS[licence].commercial:
            yield f'warning: {what}: {licence}, not for commercial use'


def obligations(chain: list[Entry]) -> Iterator[str]:
    """List what must be passed on, one line per licence."""
    found: dict[str, list[str]] = {}
    for one in _licensed(chain):
        if one['licence'] in TERMS and TERMS[one['licence']].passed_on:
            names = found.setdefault(one['licence'], [])
            if one['name'] not in names:
                names.append(one['name'])
    for licence, names in found.items():
        passed_on = TERMS[licence].passed_on
        yield f'pass on with it, {licence}: {passed_on} ({", ".join(names)})'


def _licensed(chain: list[Entry]) -> Iterator[Entry]:
    """Leave out runs, whose parts follow, and duplicates."""
    seen = set()
    for one in chain:
        key = (one['kind'], one['name'], one['licence'])
        if one['kind'] != 'run' and key not in seen:
            seen.add(key)
            yield one


if __name__ == '__main__':
    main()
