# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""DAFormer's rates, decay and schedule are those of its release."""

from __future__ import annotations

import json
from collections import Counter
from inspect import signature
from pathlib import Path

import numpy as np
import pytest
import torch
from checkpoint_formats import FORMATS
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import PARAM_SCHEDULERS
from mmseg.registry import MODELS

from mmseg_cag.datasets.rare_classes import RareClassOrder
from mmseg_cag.engine.checks.require_crops import crop_of
from tests.golden import golden_file

CONFIGS = Path(__file__).parents[1] / 'configs'
# Of an image of each source.
PIXELS = dict(
    GTADataset=1914 * 1052,
    SYNTHIADataset=1280 * 760,
    CityscapesDataset=2048 * 1024,
)


@pytest.fixture(autouse=True)
def without_values(monkeypatch):
    """Let MiT read its rates of drop path where tensors have no values."""
    linspace = torch.linspace
    monkeypatch.setattr(
        'torch.linspace', lambda *given: linspace(*given, device='cpu')
    )


def optimizer_of(cfg: Config) -> tuple[torch.nn.Module, torch.optim.AdamW]:
    """The config's network, without values, and its optimizer."""
    backbone = cfg.model.backbone
    backbone.get('backbone', backbone).init_cfg = None
    with torch.device('meta'):
        model = MODELS.build(cfg.model)
    return model, build_optim_wrapper(model, cfg.optim_wrapper).optimizer


def test_rates_and_decay_of_each_parameter():
    cfg = Config.fromfile(CONFIGS / 'daformer' / 'mit-b5_gta2cs.py')
    model, optimizer = optimizer_of(cfg)
    names = {id(p): name for name, p in model.named_parameters()}
    found = {
        names[id(p)]: [group['lr'], group['weight_decay']]
        for group in optimizer.param_groups
        for p in group['params']
    }
    golden = golden_file('modern/daformer_param_groups.json')
    expected = json.loads(golden.read_text())
    kinds = [(round(lr, 9), decay) for lr, decay in expected.values()]
    assert Counter(kinds) == {
        (6e-5, 0.01): 730,
        (6e-5, 0.0): 322,
        (6e-4, 0.01): 34,
    }
    ours = {}
    for part in FORMATS['daformer'].parts:
        for tensor in part.tensors:
            key = f'{part.source}.{tensor}'
            if key in expected:
                ours[f'{part.target}.{tensor}'] = expected[key]
    joined = {
        key.replace('attn.q.', 'attn.in_proj_'): value
        for key, value in ours.items()
        if '.attn.attn.kv.' not in key
    }
    assert found.keys() == joined.keys()
    for key, value in joined.items():
        assert found[key] == pytest.approx(value, rel=1e-12), key
    group = optimizer.param_groups[0]
    assert (group['betas'], group['eps']) == ((0.9, 0.999), 1e-8)
    assert cfg.optim_wrapper.get('clip_grad') is None


@pytest.mark.parametrize(
    ('pattern', 'side', 'block'),
    [
        ('dacs/*.py', 512, None),
        ('daformer/*.py', 512, None),
        ('anchor_teacher/*.py', 512, 32),
        ('mic/da*.py', 512, 32),
        ('hrda/*.py', 1024, None),
        ('mic/hrda*.py', 1024, 64),
    ],
)
def test_batches_crops_and_patches(pattern, side, block):
    for path in CONFIGS.glob(pattern):
        cfg = Config.fromfile(path)
        loader = cfg.train_dataloader
        assert loader.batch_size == cfg.auto_scale_lr.base_batch_size == 2
        for domain in loader.dataset.domains.values():
            assert crop_of(domain.pipeline) == (side, side), path
            kinds = {step.type for step in domain.pipeline}
            assert 'RandomResizeCrop' not in kinds, path
        assert (cfg.model.get('masking') or {}).get('block') == block, path


@pytest.mark.parametrize(
    'path',
    [
        *(
            f'{method}_{pair}.py'
            for method in ('daformer/mit-b5', 'hrda/mit-b5')
            for pair in ('gta2cs', 'synthia2cs', 'cs2acdc', 'cs2dz')
        ),
        'many_worlds/daformer_mit-b5_gta-synthia2cs.py',
        'many_worlds/daformer_mit-b5_all2cs-acdc.py',
        'vfm_uda/vfmuda_dinov2-b_gta2cs.py',
        'vfm_uda/vfmuda_dinov2-b_synthia2cs.py',
        'vfm_uda/vfmuda_dinov2-b_cs2acdc.py',
    ],
)
def test_images_for_a_class_have_3000_pixels_of_it(path):
    loader = Config.fromfile(CONFIGS / path).train_dataloader
    order, source = loader.sampler.orders.source, loader.dataset.domains.source
    default = signature(RareClassOrder).parameters['min_share'].default
    members = source.get('members', {'': source})
    for name, own in order.get('orders', {'': order}).items():
        pixels = PIXELS[members[name].type]
        assert own.get('min_share', default) * pixels == pytest.approx(3000)


@pytest.mark.parametrize('path', ['hrda/mit-b5', 'mic/hrda_mit-b5'])
def test_groups_of_hrda_have_the_attention_with_the_head(path):
    cfg = Config.fromfile(CONFIGS / f'{path}_gta2cs.py')
    _, optimizer = optimizer_of(cfg)
    found = Counter(
        (round(group['lr'], 9), group['weight_decay'])
        for group in optimizer.param_groups
        for _ in group['params']
    )
    # mmseg's q and kv are one tensor.
    joined = 2 * 52
    assert found == {
        (6e-5, 0.01): 730 - joined,
        (6e-5, 0.0): 322,
        (6e-4, 0.01): 47,
    }


def test_batch_norms_of_a_cnn_decay():
    cfg = Config.fromfile(CONFIGS / 'daformer' / 'dlv2red_r101_gta2cs.py')
    _, optimizer = optimizer_of(cfg)
    groups = optimizer.param_groups
    assert {g['weight_decay'] for g in groups} == {0.01}
    assert {round(g['lr'], 9) for g in groups} == {6e-5, 6e-4}


def test_the_rate_of_each_step():
    case = np.load(golden_file('modern/lr_schedule.npz'))
    cfg = Config.fromfile(CONFIGS / 'daformer' / 'mit-b5_gta2cs.py')
    assert cfg.train_cfg.max_iters == case['max_iters']
    parameters = [torch.nn.Parameter(torch.zeros(1)) for _ in range(2)]
    optimizer = torch.optim.SGD(
        [
            dict(params=[p], lr=lr)
            for p, lr in zip(parameters, (6e-5, 6e-4), strict=True)
        ],
        lr=6e-5,
    )
    schedulers = []
    for part in cfg.param_scheduler:
        part = dict(part, optimizer=optimizer)
        schedulers.append(PARAM_SCHEDULERS.build(part))
    expected = dict(
        zip(case['iteration'].tolist(), case['lr'].tolist(), strict=True)
    )
    optimizer.step()
    for step in range(cfg.train_cfg.max_iters):
        if step in expected:
            rates = [group['lr'] for group in optimizer.param_groups]
            np.testing.assert_allclose(rates, expected[step], atol=1e-13)
        for scheduler in schedulers:
            scheduler.step()


def test_cityscapes_rows_are_not_discarded_of_acdc():
    path = 'many_worlds/daformer_mit-b5_all2cs-acdc.py'
    cfg = Config.fromfile(CONFIGS / path)
    released = Config.fromfile(CONFIGS / 'daformer/mit-b5_gta2cs.py').model
    members = cfg.train_dataloader.dataset.domains.target.members
    rows = {}
    for name, member in members.items():
        steps = {step.type: step for step in member.pipeline}
        marks = steps.get('MarkUntrusted', {})
        rows[name] = marks.get('top', 0), marks.get('bottom', 0)
    assert rows == dict(
        cityscapes=(released.untrusted_top, released.untrusted_bottom),
        acdc=(0, 0),
    )
    assert not {'untrusted_top', 'untrusted_bottom'} & cfg.model.keys()
