# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.utils import import_modules_from_strings

from mmseg_cag.errors import MissingFileError, UserError
from mmseg_cag.fileio.safe_config import parse_config

SECTIONS = ('model', 'train_cfg')
LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')


def read_dumped_config(path: Path) -> Config:
    """Read the config that a runner left in its work dir.

    It is read as data, because the folder may be a stranger's: no line of it
    is executed, and a class is none but a registered one.

    Args:
        path: The file, as mmengine dumps it.

    Raises:
        MissingFileError: There is no such file.
        UserError: It is damaged, or holds more than plain data.
    """
    try:
        text = path.read_text(encoding='utf-8')
    except FileNotFoundError as error:
        raise MissingFileError(f'{path}: config file not found') from error
    except (OSError, UnicodeError) as error:
        raise UserError(f'{path}: cannot be read ({error})') from error
    cfg = parse_config(text, str(path))
    for name in types(cfg.to_dict()):
        # mmengine would import it from anywhere, and call it.
        if '.' in name:
            raise UserError(
                f'{path}: its config has the type {name!r}, expected the name '
                'of a registered class'
            )
    _require_sections(cfg, path)
    _import_own(cfg, path)
    return cfg


def types(settings: Any) -> Iterator[str]:
    """List every type in nested settings."""
    if isinstance(settings, dict):
        yield str(settings.get('type', ''))
        for value in settings.values():
            yield from types(value)
    elif isinstance(settings, list | tuple):
        for value in settings:
            yield from types(value)


def _require_sections(cfg: Config, path: Path) -> None:
    """Check what a run is described by, as far as it is there."""
    for key in SECTIONS:
        if not isinstance(cfg.get(key), dict | None):
            raise UserError(f'{path}: {key} is no dict(...)')
    for key in LOADERS:
        loader = cfg.get(key)
        dataset = loader.get('dataset') if isinstance(loader, dict) else None
        if loader is not None and not (
            isinstance(dataset, dict) and isinstance(dataset.get('type'), str)
        ):
            raise UserError(
                f'{path}: {key} has no data set, expected '
                'dataset=dict(type=...)'
            )


def _import_own(cfg: Config, path: Path) -> None:
    """Import the modules with the user's own classes, which are installed."""
    if 'custom_imports' not in cfg:
        return
    try:
        import_modules_from_strings(**cfg.custom_imports)
    # A module that fails on import does so in any way at all.
    except Exception as error:
        raise UserError(
            f'{path}: its custom_imports cannot be imported ({error})'
        ) from error
