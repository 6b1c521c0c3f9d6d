# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Maps of a frozen encoder that are kept on disk."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from mmseg.registry import MODELS

from mmseg_cag.errors import UserError
from tests import tiny

ENCODER = dict(
    type='DINOv2',
    arch=dict(dim=48, depth=2, heads=3),
    out_indices=(0, 1),
    pretrain_size=56,
    resize=1.0,
)


def build(folder: Path | None, **kwargs):
    """A cached encoder of random weights, and how often it computes."""
    encoder = {**ENCODER, **kwargs.pop('encoder', {})}
    cached = MODELS.build(
        dict(
            type='CachedEncoder',
            encoder=encoder,
            folder=folder and str(folder),
            **kwargs,
        )
    )
    torch.manual_seed(0)
    cached.init_weights()
    passes = []
    cached.encoder.register_forward_hook(lambda *_: passes.append(1))
    return cached, passes


def same(one: tuple, other: tuple) -> bool:
    return all(map(torch.equal, one, other))


def test_what_was_seen_is_read(tmp_path):
    cached, passes = build(tmp_path)
    images = torch.randn(3, 3, 28, 42)
    first = cached(images[:2])
    assert len(passes) == 2
    again = cached(images)
    assert len(passes) == 3
    assert same(first, tuple(own[:2] for own in again))
    plain = cached.encoder(images)
    for own, expected in zip(again, plain, strict=True):
        assert torch.allclose(own, expected, atol=1e-6)
        assert not own.requires_grad
    assert not list(tmp_path.rglob('*.part*'))
    without, _ = build(None)
    assert same(without(images), again)


@pytest.mark.parametrize('change', ['pixel', 'weight', 'setting', 'half'])
def test_what_differs_is_computed(tmp_path, change):
    cached, _ = build(tmp_path)
    image = torch.randn(1, 3, 28, 42)
    cached(image)
    settings = dict(
        setting=dict(encoder=dict(final_norm=False)), half=dict(half=True)
    )
    other, passes = build(tmp_path, **settings.get(change, {}))
    if change == 'weight':
        state = other.state_dict()
        state['encoder.blocks.0.norm1.bias'][0] += 1e-3
        other.load_state_dict(state)
    if change == 'pixel':
        image[0, 0, 0, 0] += 1e-6
    other(image)
    assert len(passes) == 1


def test_half_precision_is_the_same_at_first_and_later(tmp_path):
    cached, _ = build(tmp_path, half=True)
    image = torch.randn(1, 3, 28, 42)
    first = cached(image)
    assert same(first, cached(image))
    [entry] = tmp_path.rglob('*.npz')
    cached, _ = build(tmp_path / 'whole')
    cached(image)
    [whole] = (tmp_path / 'whole').rglob('*.npz')
    assert entry.stat().st_size < 0.6 * whole.stat().st_size


@pytest.mark.parametrize('content', [b'', b'PK and no more', None])
def test_a_damaged_entry_is_made_again(tmp_path, content):
    cached, passes = build(tmp_path)
    image = torch.randn(1, 3, 28, 42)
    first = cached(image)
    [entry] = tmp_path.rglob('*.npz')
    whole = entry.read_bytes()
    entry.write_bytes(whole[: len(whole) // 2] if content is None else content)
    assert same(cached(image), first)
    assert len(passes) == 2
    assert entry.read_bytes() == whole


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / 'file').touch()
    cached, _ = build(tmp_path / 'file')
    with pytest.raises(UserError, match='cannot write cached features'):
        cached(torch.randn(1, 3, 28, 42))


def test_class_tokens_are_refused(tmp_path):
    with pytest.raises(UserError, match='output_cls_token=True'):
        build(tmp_path, encoder=dict(output_cls_token=True))


def test_a_run_computes_each_image_once(tmp_path):
    """CAG on images as they are: student and teacher read the same maps."""
    tiny.write_towns(tmp_path)
    cfg = tiny.run_config(tmp_path, tmp_path / 'run', stage_iters=4)
    cfg.model.backbone = dict(
        type='CachedEncoder',
        encoder=dict(ENCODER, out_indices=(1,)),
        folder=str(tmp_path / 'maps'),
    )
    cfg.model.decode_head.in_channels = 48
    cfg.train_dataloader.dataset = tiny.uda(tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Config, 'pretty_text', property(repr))
        runner = Runner.from_cfg(cfg)
    trained = {
        n for n, p in runner.model.named_parameters() if p.requires_grad
    }
    assert trained and not any('encoder' in name for name in trained)
    runner.train()
    images = 7 + 5 + 2  # source, target, validation
    assert len(list((tmp_path / 'maps').rglob('*.npz'))) <= images
