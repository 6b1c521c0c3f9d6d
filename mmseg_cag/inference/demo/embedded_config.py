# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""The config in a checkpoint: data of a stranger, not to be trusted."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmseg_cag.errors import UserError
from mmseg_cag.fileio.safe_config import parse_config

OWN_IMPORTS = {'mmseg', 'mmseg_cag'}
# What only training needs: where weights come from, above all.
OF_TRAINING = ('init_cfg', 'pretrained', 'loss_decode', 'sampler')
# The name of a registered class or of a choice. A class by a dotted name
# would be imported from anywhere, a URL or a file be read.
PLAIN_NAME = re.compile(r'[\w-]*')
ADVICE = 'name a config that you trust by --config'


def embedded_config(checkpoint: dict, path: Path) -> Config:
    """Read the config in a checkpoint's meta data, without trusting it.

    Args:
        checkpoint: As mmengine saves it.
        path: Where it is from, for messages.

    Raises:
        UserError: There is none, or it asks for more than the classes of
            mmseg and the plugin.
    """
    meta = checkpoint.get('meta')
    text = meta.get('cfg') if isinstance(meta, dict) else None
    if not isinstance(text, str):
        raise UserError(f'{path}: holds no config, name it by --config')
    try:
        cfg = parse_config(text, str(path))
    except UserError as error:
        raise UserError(f'{error}; {ADVICE}') from error
    try:
        imports = set(cfg.get('custom_imports', {}).get('imports', []))
        cfg.model = without_training(cfg.model)
        dataset = cfg.test_dataloader.dataset
        used = [cfg.model, dataset.pipeline, dataset.get('type', '')]
    except (AttributeError, TypeError) as error:
        raise UserError(
            f'{path}: its config is of no run ({error})'
        ) from error
    foreign = sorted(map(str, imports - OWN_IMPORTS))
    if foreign:
        raise UserError(f'{path}: its config imports {foreign[0]}; {ADVICE}')
    for word in words(used):
        if not PLAIN_NAME.fullmatch(word) or word == '_scope_':
            raise UserError(
                f'{path}: its config has {word!r} where plain names are '
                f'expected; {ADVICE}'
            )
    return cfg


def without_training(settings: Any) -> Any:
    """Drop what only training needs."""
    if isinstance(settings, dict):
        return {
            key: without_training(value)
            for key, value in settings.items()
            if key not in OF_TRAINING
        }
    if isinstance(settings, list | tuple):
        return type(settings)(map(without_training, settings))
    return settings


def words(settings: Any) -> Iterator[str]:
    """List every key and every text in nested settings."""
    if isinstance(settings, str):
        yield settings
    elif isinstance(settings, dict):
        for key, value in settings.items():
            yield str(key)
            yield from words(value)
    elif isinstance(settings, list | tuple):
        for value in settings:
            yield from words(value)
