# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""No operation of a step has a shape that depends on values.

A step of the mean teachers runs with tensors that have shapes and no values:
an operation whose result depends on these in its shape, or that asks for one,
fails. Numbers that are drawn on the CPU are drawn outside. Nor does a step
make tensors of numbers on its device, which copies them and waits for that.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from mmengine.config import ConfigDict
from mmseg.registry import MODELS
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeTensorMode,
    unset_fake_temporarily,
)

from mmseg_cag.models import colour_views, masking, strong_augmentation
from mmseg_cag.models.backbones import hrda_backbone
from mmseg_cag.models.segmentors import dacs, vfm_uda
from mmseg_cag.models.segmentors.base import UDASegmentor
from tests import tiny
from tests.test_models.test_segmentors.test_foreign_anchors import (
    model as foreign,
)
from tests.test_models.test_segmentors.test_proda import settings as proda
from tests.test_models.test_segmentors.test_step_waits import NoCopies
from tests.test_vit_runs import vfm


def mic(**settings) -> ConfigDict:
    masking = dict(type='Masking', block=8, **settings)
    return ConfigDict(tiny.dacs(), type='MICSegmentor', masking=masking)


METHODS = {
    'anchor_teacher': tiny.anchor_teacher,
    'dacs': tiny.dacs,
    'daformer': tiny.daformer,
    'mic': mic,
    'mic on both domains': lambda: mic(mode='separateaug'),
    'hrda': lambda: tiny.two_scales(tiny.dacs()),
    'mic on hrda': lambda: tiny.two_scales(mic()),
    'proda': proda,
    'vfm-uda': vfm,
    'vfm-uda++': lambda: vfm(plus=True),
    'foreign anchors': lambda: foreign(alignment=dict()),
    'foreign labels': lambda: foreign(foreign_labels='replace'),
}
LONG = {'vfm-uda++'}
STEPPED = [
    pytest.param(name, marks=pytest.mark.long) if name in LONG else name
    for name in METHODS
]
# What draws numbers on the CPU, where it is used.
DRAWS = (
    (UDASegmentor, 'step_generator'),
    (dacs, 'draw_classes'),
    (dacs, 'draw_flags'),
    (dacs, 'draw_strong'),
    (masking, 'draw_flags'),
    (masking, 'draw_mask'),
    (masking, 'draw_strong'),
    (hrda_backbone, 'draw_box'),
    (strong_augmentation, 'draw_flags'),
    (strong_augmentation, 'draw_strong'),
    (strong_augmentation, 'draw_cutout'),
    (colour_views, 'draw_view'),
    (vfm_uda, 'draw_classes'),
    (vfm_uda, 'draw_hidden'),
)


def outside(draw: Callable) -> Callable:
    """Make a function work on real tensors."""

    def drawn(*args: object, **kwargs: object) -> object:
        with unset_fake_temporarily():
            return draw(*args, **kwargs)

    return drawn


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeTensorMode:
    for place, name in DRAWS:
        monkeypatch.setattr(place, name, outside(getattr(place, name)))
    return FakeTensorMode(allow_non_fake_inputs=True)


@pytest.mark.parametrize('name', STEPPED)
def test_shapes_do_not_depend_on_values(name, fake):
    model = MODELS.build(METHODS[name]()).train()
    data = model.data_preprocessor(tiny.raw_batch(), True)
    with fake, NoCopies():
        losses = model(**data, mode='loss')
        total = sum(v for k, v in losses.items() if 'loss' in k)
        total.backward()
        assert total.shape == ()


def test_one_that_does_is_noticed(fake):
    with fake, pytest.raises(DynamicOutputShapeException):
        torch.rand(4)[torch.rand(4) > 0.5]
    with fake, pytest.raises(DataDependentOutputException):
        torch.rand(()).item()
