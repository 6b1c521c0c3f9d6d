# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Whether a disturbed run ended as the undisturbed one, bit by bit."""

from __future__ import annotations

from pathlib import Path

import torch

from mmseg_cag.fileio.checkpoints import numbered

from .child import Child, Lost

PARTS = ('state_dict', 'optimizer', 'param_schedulers', 'rank_statistics')


def require_end(child: Child) -> None:
    """Wait for a run that must come to its end."""
    if code := child.wait():
        raise Lost(f'ended with {code}: {child.tail()}')


def require_same_run(expected: Path, found: Path, best: bool = True) -> None:
    """Compare the last checkpoints and the validations bit by bit.

    Args:
        expected: Folder of the undisturbed run.
        found: Folder of the disturbed one.
        best: Whether the same weights are to be kept as the best.
    """
    one, two = (numbered(folder) for folder in (expected, found))
    if not two or one[-1].name != two[-1].name:
        raise Lost(f'has {[path.name for path in two]}')
    one, two = (
        torch.load(paths[-1], weights_only=False) for paths in (one, two)
    )
    for part in PARTS:
        if not same(one.get(part), two.get(part)):
            raise Lost(f'{part} differs from that of the undisturbed run')
    if _validations(expected) != _validations(found):
        raise Lost('validations differ from those of the undisturbed run')
    one, two = (
        sorted(path.name for path in folder.glob('best_*.pth'))
        for folder in (expected, found)
    )
    if best and one != two:
        raise Lost(f'kept {two} as the best, expected {one}')


def _validations(folder: Path) -> str:
    path = folder / 'validation.json'
    return path.read_text() if path.is_file() else ''


def require_same_files(expected: Path, found: Path) -> None:
    """Compare the images of two folders byte by byte."""
    one, two = (
        {str(p.relative_to(f)): p.read_bytes() for p in f.rglob('*.png')}
        for f in (expected, found)
    )
    if not one or one != two:
        raise Lost(f'{len(two)} files differ from the expected {len(one)}')


def same(first: object, second: object) -> bool:
    """Compare nested states bit by bit."""
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(
            same(first[key], second[key]) for key in first
        )
    if isinstance(first, list | tuple):
        return len(first) == len(second) and all(map(same, first, second))
    if isinstance(first, torch.Tensor):
        return torch.equal(first, second)
    return first == second
