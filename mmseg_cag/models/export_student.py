# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Turn a run's config and checkpoint into those of a stock segmentor."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path

from mmengine.config import Config, ConfigDict
from mmseg.registry import DATASETS, MODELS, TRANSFORMS
from torch import Tensor, nn

from mmseg_cag.errors import UserError

from .safe_load import read_checkpoint

PARTS = ('backbone', 'neck', 'decode_head', 'auxiliary_head')
LABEL_LOADERS = ('LoadAnnotations', 'LoadLabelIds', 'LoadLabelsByName')


def student_config(cfg: Config) -> Config:
    """Write the config that predicts with a run's student alone.

    The segmentor becomes the mmseg class that it is a subclass of, and of the
    imports those remain whose classes are still in use.

    Args:
        cfg: The config that the student was trained by.
    """
    pipeline = student_pipeline(cfg)
    model = student_model(cfg.model)
    exported = dict(
        default_scope='mmseg',
        model=model,
        test_pipeline=pipeline,
        # Where mmseg's inferencer looks.
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


def student_pipeline(cfg: Config) -> list[ConfigDict]:
    """List the steps that load an image as it is tested, without labels."""
    return [
        step
        for step in cfg.test_dataloader.dataset.pipeline
        if step.type not in LABEL_LOADERS
    ]


def student_model(model: ConfigDict) -> ConfigDict:
    """Reduce the config of a segmentor to what prediction needs."""
    segmentor = MODELS.get(model.type)
    stock = next(
        cls for cls in segmentor.__mro__ if cls.__module__.startswith('mmseg.')
    )
    known = inspect.signature(stock).parameters
    student = ConfigDict(
        {key: value for key, value in model.items() if key in known},
        type=stock.__name__,
    )
    preprocessor = model.data_preprocessor
    student.data_preprocessor = preprocessor.get('target', preprocessor)
    # The checkpoint has the weights.
    origins = model.backbone.keys() & {'init_cfg', 'pretrained'}
    student.backbone = {**model.backbone, **dict.fromkeys(origins)}
    return student


def classes_in_use(model: ConfigDict, pipeline: list[dict]) -> Iterator[type]:
    """List the classes that a model and a pipeline consist of."""
    yield from {type(module) for module in MODELS.build(model).modules()}
    yield from (TRANSFORMS.get(step['type']) for step in pipeline)


def student_checkpoint(cfg: Config, path: str | Path) -> dict:
    """Read a run's checkpoint and keep the student's weights and classes.

    Args:
        cfg: The config that the student was trained by.
        path: The checkpoint.

    Raises:
        MissingFileError: There is no such file.
        UserError: It does not have the weights of this config's network.
    """
    checkpoint = read_checkpoint(path)
    weights = student_weights(checkpoint['state_dict'])
    check_weights(MODELS.build(student_model(cfg.model)), weights, path)
    meta = student_meta(cfg, checkpoint)
    return dict(meta=dict(dataset_meta=meta), state_dict=weights)


def student_meta(cfg: Config, checkpoint: dict) -> dict:
    """Look up the classes and their palette."""
    meta = checkpoint.get('meta', {}).get('dataset_meta')
    meta = meta or DATASETS.get(cfg.test_dataloader.dataset.type).METAINFO
    return {key: meta[key] for key in ('classes', 'palette')}


def student_weights(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Choose the student's weights.

    CLAN's second classifier is added to the first: both are linear, and their
    sum is what it predicts by.
    """
    weights = {k: v for k, v in state.items() if k.split('.')[0] in PARTS}
    for key, value in state.items():
        part, _, name = key.partition('.')
        if part == 'co_classifier':
            own = f'decode_head.conv_seg.{name}'
            weights[own] = weights[own] + value
    return weights


def check_weights(model: nn.Module, weights: dict, path: str | Path) -> None:
    """Check that a model takes exactly these weights."""
    expected = model.state_dict()
    wrong = [
        key
        for key in sorted(expected.keys() | weights.keys())
        if key not in expected
        or key not in weights
        or expected[key].shape != weights[key].shape
    ]
    if wrong:
        raise UserError(
            f"{path}: not of this config's network, {len(wrong)} tensors "
            f'differ, the first is {wrong[0]}'
        )
