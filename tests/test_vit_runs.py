# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""A tiny vision transformer through training, resume and export."""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from mmengine.config import Config, ConfigDict
from mmengine.runner import Runner
from mmseg.apis import inference_model, init_model
from mmseg.registry import MODELS
from torch import nn

from mmseg_cag.engine.checks.check_data_hook import check_patches
from mmseg_cag.errors import UserError
from mmseg_cag.fileio.safe_load import read_checkpoint
from mmseg_cag.models.segmentors.base import run_network
from tests import tiny
from tests.test_distributed import state, train_two

ROOT = Path(__file__).parents[1]
ARCH = dict(dim=48, depth=2, heads=3)
ENCODER = dict(type='DINOv2', arch=ARCH, pretrain_size=56, resize=1.1)
ADAPTER = dict(
    ENCODER,
    type='ViTAdapter',
    arch=dict(ARCH, depth=4),
    prior_channels=4,
    resize=(224, 224),
)


def model(kind: str = 'CAGSegmentor', **backbone) -> dict:
    """Any method's tiny model on a vision transformer."""
    base = tiny.cag() if kind == 'CAGSegmentor' else tiny.dacs()
    base['type'] = kind
    loss = dict(type='CrossEntropyLoss', avg_non_ignore=True)
    return {
        **base,
        'backbone': {**ENCODER, **backbone},
        'decode_head': dict(
            type='VFMUDAHead',
            in_channels=48,
            num_classes=19,
            align_corners=False,
            loss_decode=loss,
        ),
    }


def run_config(root: Path, name: str, **backbone) -> Config:
    cfg = tiny.run_config(root, root / name, stage_iters=2)
    cfg.model = model(**backbone)
    cfg.optim_wrapper = dict(
        constructor='EncoderOptimWrapperConstructor',
        type='OptimWrapper',
        optimizer=dict(type='AdamW', lr=1e-3),
        paramwise_cfg=dict(encoder_mult=0.1, layer_decay=0.9),
    )
    return cfg


def vfm(plus: bool = False) -> ConfigDict:
    """VFM-UDA, or VFM-UDA++ in few channels."""
    config = ConfigDict(model('VFMUDASegmentor', masked=True))
    config.teacher = dict(type='Teacher', momentum=0.001, mirror=True)
    if plus:
        config.type = 'VFMUDAPlusSegmentor'
        config.backbone = dict(ADAPTER, norm_cfg=dict(type='BN'))
        config.decode_head.type = 'VFMUDAPlusHead'
        config.encoder = dict(ENCODER, registers=4, resize=(42, 42))
        config.teacher.update(mode='batch_norm', buffers='keep')
    return config


def vfm_config(
    root: Path, name: str, plus: bool = False, iters: int = 2
) -> Config:
    """A run of these."""
    cfg = run_config(root, name)
    tiny.one_stage(cfg, iters)
    cfg.model = vfm(plus)
    target = cfg.train_dataloader.dataset.domains.target
    target.pipeline = [
        target.pipeline[0],
        dict(type='MarkUntrusted', top=1, bottom=4),
        *target.pipeline[1:-1],
        dict(type='PadMarked', size=tiny.SIZE[::-1]),
        dict(type='PackMarkedSegInputs'),
    ]
    cfg.default_hooks.monitor = dict(type='MonitorHook', interval=1)
    return cfg


@pytest.fixture(scope='module')
def root(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp('vit')
    tiny.write_towns(root)
    return root


def train(cfg: Config) -> dict:
    runner = Runner.from_cfg(cfg)
    runner.train()
    return runner.model.state_dict()


def test_a_run_that_went_on_ends_with_the_same_bits(root):
    whole = train(run_config(root, 'whole'))
    torch.manual_seed(99)
    again = run_config(root, 'again')
    again.load_from = str(root / 'whole/iter_1.pth')
    again.resume = True
    for name, value in train(again).items():
        assert torch.equal(value, whole[name]), name


@pytest.mark.parametrize('workers', [0, 2])
@pytest.mark.parametrize(
    'plus', [False, pytest.param(True, marks=pytest.mark.long)]
)
def test_a_run_of_vfm_uda_goes_on_with_the_same_bits(root, plus, workers):
    name = f'vfm{plus}{workers}'
    cfg, again = (vfm_config(root, n, plus, 3) for n in (name, f'{name}_on'))
    cfg.train_dataloader.num_workers = workers
    again.train_dataloader.num_workers = workers
    whole = train(cfg)
    frozen = [key for key in whole if key.startswith('frozen')]
    assert bool(frozen) == plus
    assert not any('frozen' in key for key in whole if 'teacher' in key)
    torch.manual_seed(99)
    again.load_from = str(root / name / 'iter_2.pth')
    again.resume = True
    for key, value in train(again).items():
        assert torch.equal(value, whole[key]), key
    assert whole['teacher.steps'] == 3


MAPS = dict(in_channels=[48] * 4, in_index=[0, 1, 2, 3])


@pytest.mark.parametrize(
    'head',
    [
        dict(MAPS, type='SegformerHead'),
        dict(MAPS, type='UPerHead', pool_scales=(1, 2)),
        dict(MAPS, type='FPNHead', feature_strides=[4, 8, 16, 32]),
        dict(
            type='DepthwiseSeparableASPPHead',  # DeepLabV3+
            in_channels=48,
            in_index=3,
            c1_in_channels=48,
            c1_channels=4,
            dilations=(1, 2),
        ),
    ],
    ids=lambda head: head['type'],
)
def test_ordinary_heads_on_a_pyramid_train_by_cag(root, head):
    """Anchors, then a step."""
    arch = dict(ARCH, depth=4)
    cfg = run_config(root, head['type'], arch=arch, out_indices=[0, 1, 2, 3])
    cfg.train_cfg.update(stages=1, stage_iters=1)
    norm = dict(norm_cfg=dict(type='BN'))
    cfg.model.neck = dict(
        norm, type='Feature2Pyramid', embed_dim=48, rescales=[4, 2, 1, 0.5]
    )
    own = {**cfg.model.decode_head, **norm, **head, 'channels': 8}
    cfg.model.decode_head = own
    weights = train(cfg)
    assert weights['anchor_bank.counts'].any()
    assert weights['anchor_bank.anchors'].shape == (19, 8)
    name = 'decode_head.conv_seg.weight'
    # The teacher is the student before the step.
    assert weights[name].isfinite().all()
    assert not torch.equal(weights[name], weights[f'teacher.module.{name}'])


def held(network: nn.Module) -> int:
    """Bytes of a network's tensors; shared ones count once."""
    tensors = [*network.parameters(), *network.buffers()]
    storages = [tensor.untyped_storage() for tensor in tensors]
    return sum({s.data_ptr(): s.nbytes() for s in storages}.values())


def test_a_frozen_encoder_is_in_memory_once():
    free, frozen = (
        MODELS.build(model('DACSSegmentor', frozen_stages=stages))
        for stages in (-1, 'all')
    )
    encoder = sum(
        p.untyped_storage().nbytes()
        for p in free.backbone.parameters()
        if p.requires_grad
    )
    assert encoder > held(free) / 3
    assert held(free) - held(frozen) == encoder


def test_it_trains_in_bfloat16(root):
    cfg = run_config(root, 'bf16')
    cfg.optim_wrapper.type = 'BFloat16OptimWrapper'
    weights = train(cfg)
    assert all(v.isfinite().all() for v in weights.values())


def test_what_is_frozen_is_in_no_optimizer_and_does_not_move(root):
    cfg = run_config(root, 'frozen', frozen_stages=1)
    runner = Runner.from_cfg(cfg)
    runner.model.init_weights()
    before = {k: v.clone() for k, v in runner.model.state_dict().items()}
    wrapper = runner.build_optim_wrapper(cfg.optim_wrapper)
    taken = {
        id(p) for g in wrapper.optimizer.param_groups for p in g['params']
    }
    frozen = [
        p for p in runner.model.backbone.parameters() if not p.requires_grad
    ]
    assert frozen and not taken & {id(p) for p in frozen}
    runner.train()
    moved = {
        name
        for name, value in runner.model.state_dict().items()
        if name.startswith('backbone') and not torch.equal(value, before[name])
    }
    trained = ('backbone.blocks.1', 'backbone.norm')
    assert moved
    assert [name for name in moved if not name.startswith(trained)] == []


def test_the_exported_student_predicts_the_same(root, monkeypatch):
    cfg = run_config(root, 'export', lora=dict(rank=2))
    train(cfg)
    cfg.test_dataloader = cfg.val_dataloader
    cfg.test_pipeline = [
        dict(type='LoadImageFromFile'),
        dict(type='PackSegInputs'),
    ]
    path = root / 'export.py'
    cfg.dump(path)
    tool = ROOT / 'tools/model_converters/export_student.py'
    checkpoint, student = root / 'export/iter_4.pth', root / 'student.pth'
    arguments = [tool, path, checkpoint, student]
    monkeypatch.setattr('sys.argv', list(map(str, arguments)))
    runpy.run_path(str(tool), run_name='__main__')
    assert not any(
        'lora' in key for key in read_checkpoint(student)['state_dict']
    )
    network = init_model(student.with_suffix('.py'), str(student), 'cpu')
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, (*tiny.SIZE, 3), np.uint8)
    seen = inference_model(network, image).seg_logits.data
    own = MODELS.build(cfg.model)
    own.load_state_dict(read_checkpoint(checkpoint)['state_dict'])
    own.eval()
    batch = dict(
        inputs=[torch.from_numpy(image).permute(2, 0, 1)],
        data_samples=[tiny.random_sample()],
    )
    inputs = own.data_preprocessor(batch)['inputs']
    with torch.no_grad():
        scores = torch.nn.functional.interpolate(
            run_network(own, inputs).logits[0], tiny.SIZE, mode='bilinear'
        )[0]
    assert torch.allclose(seen, scores, atol=1e-4)


@pytest.mark.parametrize(
    'plus', [False, pytest.param(True, marks=pytest.mark.long)]
)
def test_onnx_of_a_run_of_vfm_uda_predicts_the_same(root, monkeypatch, plus):
    cfg = vfm_config(root, f'onnx{plus}', plus)
    cfg.val_dataloader = cfg.val_evaluator = cfg.val_cfg = None
    train(cfg)
    cfg.test_pipeline = [
        dict(type='LoadImageFromFile'),
        dict(type='PackSegInputs'),
    ]
    checkpoint, dst = Path(cfg.work_dir, 'iter_2.pth'), root / 'vfm.onnx'
    path = root / 'onnx.py'
    cfg.dump(path)
    tool = ROOT / 'tools/model_converters/export_onnx.py'
    arguments = [tool, path, checkpoint, dst, '--size', *tiny.SIZE]
    monkeypatch.setattr('sys.argv', list(map(str, arguments)))
    runpy.run_path(str(tool), run_name='__main__')
    images = torch.stack(tiny.random_images())
    session = onnxruntime.InferenceSession(dst)
    [found] = session.run(['logits'], {'image': images.float().numpy()})
    # By the run's own model, teacher and all, as mmseg predicts.
    own = MODELS.build(cfg.model)
    own.load_state_dict(read_checkpoint(checkpoint)['state_dict'])
    samples = [tiny.random_sample() for _ in images]
    batch = dict(inputs=[*images], data_samples=samples)
    with torch.no_grad():
        results = own.eval().test_step(batch)
    expected = np.stack([r.seg_logits.data.numpy() for r in results])
    limit = 1e-4 * np.ptp(expected)
    np.testing.assert_allclose(found, expected, rtol=0, atol=limit)


def test_images_that_the_patches_do_not_divide_stop_before_training(root):
    cfg = run_config(root, 'patches', resize=None)
    with pytest.raises(
        UserError, match='32x64 pixels, expected multiples of 14'
    ):
        train(cfg)
    assert not list((root / 'patches').glob('*.pth'))
    network = MODELS.build(cfg.model)
    network.test_cfg = dict(mode='slide', crop_size=(28, 42))
    check_patches(network, None)


@pytest.mark.long
def test_two_processes_hold_the_same(root):
    cfg = run_config(
        root,
        'two',
        type='ViTAdapter',
        arch=dict(ARCH, depth=4),
        prior_channels=4,
        resize=(224, 224),
        frozen_stages=2,
    )
    cfg.model.decode_head.type = 'VFMUDAPlusHead'
    cfg.custom_hooks.append(dict(type='KeepRankHook'))
    cfg.default_hooks.checkpoint.interval = 4
    # Two processes wait for each gradient: none is missing.
    train_two(root, cfg)
    first, second = (state(root / 'two', rank, 4) for rank in (0, 1))
    for name, value in first.items():
        if 'running_' not in name:
            assert torch.equal(value, second[name]), name


@pytest.mark.long
@pytest.mark.parametrize('plus', [False, True])
def test_two_processes_of_vfm_uda_hold_the_same(root, plus):
    cfg = vfm_config(root, f'two_vfm{plus}', plus, 10)
    cfg.optim_wrapper.type = 'BFloat16OptimWrapper'
    cfg.custom_hooks.append(dict(type='KeepRankHook'))
    cfg.default_hooks.pop('monitor')
    train_two(root, cfg)
    first, second = (state(root / f'two_vfm{plus}', r, 10) for r in (0, 1))
    for name, value in first.items():
        if 'running_' not in name:
            assert torch.equal(value, second[name]), name
        assert value.isfinite().all(), name
