# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mmengine.config import Config

from mmseg_cag.errors import MissingFileError


def require_checkpoint(cfg: Config) -> None:
    """Check that the checkpoint exists before building a run.

    mmengine would notice only after reading the datasets, with a long
    traceback that does not say where the file comes from.

    Args:
        cfg: The run's config.

    Raises:
        MissingFileError: ``load_from`` is not a file.
    """
    if is_absent(cfg.get('load_from')):
        raise MissingFileError(
            f'load_from={cfg.load_from}: checkpoint not found, train the run '
            'it comes from first, or change load_from'
        )


def require_weights(cfg: Config) -> None:
    """Check that pretrained weights exist before building a run.

    Args:
        cfg: The run's config.

    Raises:
        MissingFileError: The weights of a model part are not a file.
    """
    for key, path in pretrained(cfg.model, 'model'):
        if is_absent(path):
            raise MissingFileError(
                f'{path}: weights of {key} not found, docs/weights.md says '
                f'where to get them; {key}=None trains without'
            )


def pretrained(node: object, key: str) -> Iterator[tuple[str, str]]:
    """Yield key and checkpoint of every pretrained model part."""
    if isinstance(node, dict):
        if node.get('type') == 'Pretrained':
            yield key, node['checkpoint']
        path = node.get('pretrained')
        # That one comes with a Python package.
        if isinstance(path, str) and path != 'imagenet':
            yield f'{key}.pretrained', path
        children = node.items()
    elif isinstance(node, list | tuple):
        children = enumerate(node)
    else:
        return
    for name, child in children:
        yield from pretrained(child, f'{key}.{name}')


def is_absent(path: str | None) -> bool:
    """Return whether a path is set but not a file; URLs are not checked."""
    return bool(path) and '://' not in path and not Path(path).is_file()
