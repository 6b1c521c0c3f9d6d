# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import inspect
from pathlib import Path

from mmengine.config import Config, ConfigDict
from mmseg.registry import MODELS
from torch import Tensor, nn

from mmseg_cag.errors import UserError

PARTS = ('backbone', 'neck', 'decode_head', 'auxiliary_head')


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


LABEL_LOADERS = ('LoadAnnotations', 'LoadLabelIds', 'LoadLabelsByName')


def student_pipeline(cfg: Config) -> list[ConfigDict]:
    """List the steps that load an image as it is tested, without labels."""
    return [
        step
        for step in cfg.test_dataloader.dataset.pipeline
        if step.type not in LABEL_LOADERS
    ]
