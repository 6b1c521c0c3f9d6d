# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Manifest of a drawn town: keeps different towns out of one folder."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path

from mmseg_cag.datasets.inspection.drawing_record import (
    CLAIM,
    MANIFEST,
    read_claim,
)
from mmseg_cag.errors import UserError

from .plan import STREAMS, Plan

VERSION = 2  # increase when the same arguments give different pixels
FOLDERS = ('gta', 'cityscapes', 'synthia')


def is_complete(root: Path, plan: Plan, overwrite: bool) -> bool:
    """Check whether the town is complete; clears the folder if allowed."""
    found = next(
        (root / n for n in (MANIFEST, CLAIM) if (root / n).exists()), None
    )
    if found is None:
        _refuse_foreign_data(root)
        return False
    wanted = {'version': VERSION, **_as_json(asdict(plan))}
    recorded = read_claim(found)
    held = {'version': recorded['version'], **recorded['arguments']}
    differing = [
        f'{key} {held.get(key)} instead of {value}'
        for key, value in wanted.items()
        if held.get(key) != value
    ]
    if differing and not overwrite:
        raise UserError(
            f'{root} holds a minitown with {", ".join(differing)}: give '
            'another folder or overwrite it'
        )
    if overwrite:
        _remove(root, held)
        return False
    return found.name == MANIFEST


def _refuse_foreign_data(root: Path) -> None:
    for name in FOLDERS:
        if (root / name).exists():
            raise UserError(
                f'{root / name} exists but {root / MANIFEST} does not: '
                'minitown never draws into a folder with other data'
            )


def _remove(root: Path, held: dict) -> None:
    """Remove the files of the recorded plan and empty folders."""
    names = ('size', 'source', 'target', 'val', 'synthia', 'seed')
    plan = Plan(**{name: held[name] for name in names})
    # After an interrupted removal, the folder must still count as minitown.
    if (root / MANIFEST).exists():
        os.replace(root / MANIFEST, root / CLAIM)
    for picture in plan.pictures():
        for path in STREAMS[picture.stream].paths(root, picture.index):
            path.unlink(missing_ok=True)
    for name in FOLDERS:
        for folder, _, _ in os.walk(root / name, topdown=False):
            if not os.listdir(folder):
                os.rmdir(folder)


def _as_json(value: object) -> object:
    return json.loads(json.dumps(value))
