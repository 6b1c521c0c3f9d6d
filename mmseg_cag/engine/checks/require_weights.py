# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mmengine.config import Config

from mmseg_cag.errors import MissingFileError


def require_checkpoint(cfg: Config) -> None:
    """Check, before a run is built, that the checkpoint to load exists.

    mmengine would notice after the data sets are read, in a long traceback
    that says nothing of where the file is from.

    Args:
        cfg: The run's config.

    Raises:
        MissingFileError: ``load_from`` is no file.
    """
    if is_absent(cfg.get('load_from')):
        raise MissingFileError(
            f'load_from={cfg.load_from}: checkpoint not found, train what it '
            'comes from first or set load_from to another'
        )


def require_weights(cfg: Config) -> None:
    """Check, before a run is built, that pretrained weights exist.

    Args:
        cfg: The run's config.

    Raises:
        MissingFileError: Those of a part of the model are no file.
    """
    for key, path in pretrained(cfg.model, 'model'):
        if is_absent(path):
            raise MissingFileError(
                f'{path}: weights of {key} not found, docs/weights.md says '
                f'where they are from; {key}=None trains without'
            )


def pretrained(node: object, key: str) -> Iterator[tuple[str, str]]:
    """Find the key and the checkpoint of every pretrained part of a model."""
    if isinstance(node, dict):
        if node.get('type') == 'Pretrained':
            yield key, node['checkpoint']
        children = node.items()
    elif isinstance(node, list | tuple):
        children = enumerate(node)
    else:
        return
    for name, child in children:
        yield from pretrained(child, f'{key}.{name}')


def is_absent(path: str | None) -> bool:
    """Tell whether a path is set and no file; addresses are not looked up."""
    return bool(path) and '://' not in path and not Path(path).is_file()
