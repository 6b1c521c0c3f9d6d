# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""What the configs resolve to, in a form that is kept and compared.

``python -m tests.snapshots`` writes that of today anew.
"""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

from mmengine.config import Config

from mmseg_cag.launch.cfg_options import KEYS

CONFIGS = Path(__file__).parents[2] / 'configs'
FOLDER = Path(__file__).parent
TODAY = FOLDER / 'today.json.gz'
# What a config takes of the machine.
VARIABLES = (
    'CITYSCAPES_ROOT',
    'GTA_ROOT',
    'GTA_TRANSLATED',
    'INPUT_CACHE',
    'MINITOWN_ROOT',
    'SYNTHIA_ROOT',
    'SYNTHIA_TRANSLATED',
)


def leaf_configs() -> list[str]:
    """List the configs that are run, relative to their folder."""
    return sorted(
        path.relative_to(CONFIGS).as_posix()
        for path in CONFIGS.rglob('*.py')
        if '_base_' not in path.parts
    )


def resolve(path: str) -> dict[str, Any]:
    """Resolve a config to plain data, without what nothing reads."""
    return json.loads(_resolved(path))


@cache
def _resolved(path: str) -> str:
    """The same as JSON, so that each caller has data of its own."""
    clean = {k: v for k, v in os.environ.items() if k not in VARIABLES}
    with patch.dict(os.environ, clean, clear=True):
        cfg = Config.fromfile(CONFIGS / path).to_dict()
    parts = {key: cfg[key] for key in (*KEYS, 'steps') if key in cfg}
    return json.dumps(_relative(parts))


def _relative(node: Any) -> Any:
    """Name configs as of the checkout that they are in."""
    if isinstance(node, dict):
        return {key: _relative(value) for key, value in node.items()}
    if isinstance(node, list | tuple):
        return [_relative(value) for value in node]
    if isinstance(node, str) and node.startswith(str(CONFIGS)):
        return os.path.relpath(node, CONFIGS.parent)
    return node


@cache
def read(path: Path) -> dict[str, dict]:
    """Read what the configs resolved to."""
    return json.loads(gzip.decompress(path.read_bytes()))


def write(path: Path) -> None:
    """Write what the configs resolve to."""
    found = {name: resolve(name) for name in leaf_configs()}
    text = json.dumps(found, separators=(',', ':'))
    path.write_bytes(gzip.compress(text.encode(), mtime=0))


def differences(old: Any, new: Any, key: str = '') -> Iterator[str]:
    """Name each key in which two settings differ, with both values."""
    if isinstance(old, dict) and isinstance(new, dict):
        for name in sorted(old.keys() | new.keys()):
            path = f'{key}.{name}' if key else name
            yield from differences(old.get(name), new.get(name), path)
    elif old != new:
        yield f'{key} was {old!r}, is {new!r}'
