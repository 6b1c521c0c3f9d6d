# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import os
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path

from mmengine import fileio

from .finding import Finding
from .publishers import PUBLISHERS, publisher_of
from .reading import Reading

SHOWN = 6  # folders that a message lists
NOT_SET = {
    'img_path': ('missing folder', 'the images'),
    'seg_map_path': ('no label folder', 'the labels'),
}


def check_folders(reading: Reading) -> Iterator[Finding]:
    """Check that the folders exist and are not those of other data."""
    for prefix in tuple(NOT_SET)[: 1 + reading.labelled]:
        key = f'{reading.key}.data_prefix.{prefix}'
        folder = reading.folder(prefix)
        if folder is None:
            name, of = NOT_SET[prefix]
            yield Finding(name, key, f'not set, expected the folder of {of}')
        elif not fileio.isdir(
            folder, backend_args=reading.dataset.backend_args
        ):
            yield _missing(reading, folder)
    yield from _check_sequence(reading)


def _missing(reading: Reading, folder: str) -> Finding:
    own = publisher_of(reading.dataset)
    root = reading.dataset.data_root or os.path.dirname(folder)
    for other in PUBLISHERS:
        held = all(
            fileio.isdir(
                os.path.join(root, name),
                backend_args=reading.dataset.backend_args,
            )
            for name in other.folders
        )
        if own not in (None, other) and held:
            return Finding(
                'swapped domains',
                root,
                f'{reading.key} ({reading.kind}) expects {own.name}, found '
                f'the folders of {other.name}: {" and ".join(other.folders)}',
            )
    return Finding('missing folder', folder, _nearest(Path(folder)))


def _nearest(folder: Path) -> str:
    """Say how much of a path exists and what may have been meant."""
    if folder.parts[0] == 'zip:':
        return 'no such folder in the zip files'
    if folder.is_symlink():
        return f'is a link to nowhere: {folder.readlink()}'
    parent = next(p for p in folder.absolute().parents if p.is_dir())
    missing = folder.absolute().relative_to(parent).parts[0]
    names = sorted(
        p.name
        for p in parent.iterdir()
        if p.is_dir() and not p.name.startswith('.')
    )
    close = get_close_matches(missing, names, n=1)
    if close:
        return f'no such folder, did you mean {parent / close[0]}?'
    held = ', '.join(names[:SHOWN]) or 'no folder'
    return f'no such folder; the nearest is {parent}, which holds {held}'


def _check_sequence(reading: Reading) -> Iterator[Finding]:
    """Check that SYNTHIA's videos are not taken for its random images."""
    folder = reading.folder('img_path')
    own = publisher_of(reading.dataset)
    if not folder or not own or not own.name.startswith('SYNTHIA'):
        return
    path = Path(folder)
    inside = [p.name for p in path.iterdir()] if path.is_dir() else []
    for name in (*path.parts, *inside):
        if name.startswith(('Stereo_', 'SYNTHIA-SEQS')):
            yield Finding(
                'SYNTHIA sequence',
                folder,
                f'expected {own.name}, found {name}, a video sequence',
            )
            return
