# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Convert a run's config and checkpoint to a stock segmentor's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mmengine.config import Config, ConfigDict
from mmseg.registry import MODELS, TRANSFORMS

from mmseg_cag.datasets.dataset_configs import class_info
from mmseg_cag.engine.records.descent import DESCENT, inherited
from mmseg_cag.errors import UserError
from mmseg_cag.fileio.safe_load import read_checkpoint
from mmseg_cag.models.backbones.lora import merge_lora
from mmseg_cag.models.student import (
    check_weights,
    student_model,
    student_pipeline,
    student_weights,
)


def predict_as(cfg: Config, domain: str) -> None:
    """Let a run's student predict by the statistics of a domain.

    Raises:
        UserError: The config has one set of statistics.
    """
    if not cfg.model.get('domain_norms'):
        raise UserError(
            f'--domain {domain}: the config has no model.domain_norms, '
            'expected one with statistics of each domain'
        )
    cfg.model.domain_norms.predict = domain


def student_config(cfg: Config) -> Config:
    """Make a config to predict with only the run's student.

    The segmentor becomes its mmseg base class; only imports whose classes are
    still used remain.

    Args:
        cfg: The student's training config.
    """
    pipeline = student_pipeline(cfg)
    model = student_model(cfg.model)
    model.backbone.pop('lora', None)  # its updates are merged
    exported = dict(
        default_scope='mmseg',
        model=model,
        test_pipeline=pipeline,
        # mmseg's inferencer looks here.
        test_dataloader=dict(dataset=dict(pipeline=pipeline)),
        visualizer=dict(type='SegLocalVisualizer'),
    )
    used = list(classes_in_use(model, pipeline))
    imports = [
        name
        for name in cfg.get('custom_imports', {}).get('imports', [])
        if any(f'{cls.__module__}.'.startswith(f'{name}.') for cls in used)
    ]
    if imports:
        exported['custom_imports'] = dict(imports=imports)
    return Config(exported)


def classes_in_use(model: ConfigDict, pipeline: list[dict]) -> Iterator[type]:
    """List the classes used in a model and a pipeline."""
    yield from {type(module) for module in MODELS.build(model).modules()}
    yield from (TRANSFORMS.get(step['type']) for step in pipeline)


def student_checkpoint(cfg: Config, path: str | Path) -> dict:
    """Read a run's checkpoint; keep the student's weights and classes.

    Args:
        cfg: The student's training config.
        path: The checkpoint.

    Raises:
        MissingFileError: The file does not exist.
        UserError: It lacks the weights of this config's network.
    """
    checkpoint = read_checkpoint(path)
    weights = student_weights(checkpoint['state_dict'], cfg.model)
    check_weights(MODELS.build(student_model(cfg.model)), weights, path)
    meta = {
        'dataset_meta': student_meta(cfg, checkpoint),
        DESCENT: inherited(path, 'exported from', cfg.get('licences')),
    }
    return dict(meta=meta, state_dict=merge_lora(weights))


def student_meta(cfg: Config, checkpoint: dict) -> dict:
    """Look up the classes and their palette.

    Raises:
        UserError: Neither checkpoint nor config names the classes.
    """
    meta = checkpoint.get('meta', {}).get('dataset_meta') or class_info(cfg)
    return {key: meta[key] for key in ('classes', 'palette')}
