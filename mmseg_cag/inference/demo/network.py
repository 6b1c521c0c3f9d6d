# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Load the network of a checkpoint with an untrusted config."""

from __future__ import annotations

import re
from collections.abc import Iterator
from inspect import signature
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.device import get_device
from mmengine.registry import init_default_scope
from mmseg.models.segmentors import EncoderDecoder
from mmseg.utils import register_all_modules

from mmseg_cag.datasets.dataset_configs import target_config
from mmseg_cag.errors import MissingFileError, UserError
from mmseg_cag.fileio.safe_config import load_config, parse_config
from mmseg_cag.fileio.safe_load import read_checkpoint
from mmseg_cag.inference.export_student import student_meta
from mmseg_cag.models.student import build_student, student_pipeline

OWN_IMPORTS = {'mmseg', 'mmseg_cag'}
# Settings only for training, such as initial weights, a cache's folder.
OF_TRAINING = ('init_cfg', 'pretrained', 'loss_decode', 'sampler', 'folder')
# Settings of a stock segmentor, and what chooses its statistics; a method's
# others, such as a teacher's files, are not for prediction.
OF_STUDENT = {'type', 'domain_norms', *signature(EncoderDecoder).parameters}
# Name of a registered class or an option. A dotted class name would be
# imported from anywhere; a URL or file would be read.
PLAIN_NAME = re.compile(r'[\w-]*')
ADVICE = 'name a config that you trust by --config'


def load_network(
    checkpoint: Path, config: Path | None = None
) -> EncoderDecoder:
    """Build a stock segmentor with a run's weights, on the GPU if any.

    Nothing in the checkpoint is executed.

    Args:
        checkpoint: Of a run of any method, or an exported student.
        config: Its config, which is executed; None reads the config text in
            the checkpoint as data.

    Returns:
        The network in evaluation mode, with ``cfg`` and ``dataset_meta`` as
        `mmseg.apis.inference_model` expects them.

    Raises:
        MissingFileError: The file does not exist.
        UserError: The checkpoint or its config is invalid.
    """
    content = read_checkpoint(checkpoint)
    # A config may register more classes; the registries' own come first.
    register_all_modules()
    if config is None:
        cfg = embedded_config(content, checkpoint)
    elif config.is_file():
        cfg = load_config(config)
    else:
        raise MissingFileError(f'{config}: config file not found')
    try:
        init_default_scope('mmseg')
        model = build_student(cfg.model, content['state_dict'], checkpoint)
        model.cfg = Config(dict(test_pipeline=student_pipeline(cfg)))
        model.dataset_meta = student_meta(cfg, content)
    except UserError:
        raise
    # With wrong settings, the classes may raise anything.
    except Exception as error:
        cause = str(error).strip().partition('\n')[0]
        raise UserError(
            f'{config or checkpoint}: its network cannot be built, '
            f'{type(error).__name__}: {cause}'
        ) from error
    return model.to(get_device())


def embedded_config(checkpoint: dict, path: Path) -> Config:
    """Read the config in a checkpoint's metadata, without trusting it.

    Args:
        checkpoint: As mmengine saves it.
        path: Path of the checkpoint, for messages.

    Raises:
        UserError: There is none, or it uses more than the classes of mmseg and
            the plugin.
    """
    meta = checkpoint.get('meta')
    text = meta.get('cfg') if isinstance(meta, dict) else None
    if not isinstance(text, str):
        raise UserError(f'{path}: contains no config, name it by --config')
    try:
        cfg = parse_config(text, str(path))
    except UserError as error:
        raise UserError(f'{error}; {ADVICE}') from error
    try:
        imports = set(cfg.get('custom_imports', {}).get('imports', []))
        cfg.model = {
            key: value
            for key, value in without_training(cfg.model).items()
            if key in OF_STUDENT
        }
        kind = (target_config(cfg) or {}).get('type', '')
        used = [cfg.model, student_pipeline(cfg), kind]
    except (UserError, AttributeError, TypeError) as error:
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
    """Drop settings that only training needs."""
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
    """List every key and string in nested settings."""
    if isinstance(settings, str):
        yield settings
    elif isinstance(settings, dict):
        for key, value in settings.items():
            yield str(key)
            yield from words(value)
    elif isinstance(settings, list | tuple):
        for value in settings:
            yield from words(value)
