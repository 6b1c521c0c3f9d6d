# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch
from mmseg.registry import MODELS
from torch import Tensor

from mmseg_cag.errors import UserError
from mmseg_cag.models import masking
from mmseg_cag.models.losses.head_loss import head_loss
from mmseg_cag.models.masking import (
    MODES,
    choose_domains,
    draw_mask,
    mask_cells,
    mask_images,
    patch_mask,
)
from mmseg_cag.models.mixing import Labelled
from mmseg_cag.models.strong_augmentation import StrongDraws
from tests import tiny
from tests.test_models.test_mixing import MEAN, STD, reference

NORMALISER = SimpleNamespace(mean=MEAN, std=STD)


def build(**settings) -> masking.Masking:
    return MODELS.build(dict(type='Masking', **settings))


def both(count: int = 2, size: tuple[int, int] = (32, 48)) -> list[Labelled]:
    """A batch of each domain; the source has no weights."""
    torch.manual_seed(0)
    source, target = (
        Labelled(
            torch.randn(count, 3, *size),
            torch.randint(5, (count, *size)),
            torch.rand(count, *size),
        )
        for _ in range(2)
    )
    return [source._replace(weight=None), target]


@pytest.mark.parametrize('call', ['a', 'b', 'c'])
def test_masks_are_those_of_the_release(call):
    case = reference('mic_mask')
    drawn, mask = case[f'{call}_uniform'], case[f'{call}_mask']
    size, block = tuple(mask.shape[-2:]), int(case[f'{call}_block'])
    assert mask_cells(size, block) == drawn.shape[-2:]
    actual = patch_mask(drawn, size, float(case[f'{call}_ratio']))
    assert torch.equal(actual.int(), mask.int())
    images = case[f'{call}_image']
    step = size[0] // images.shape[2]  # every fourth pixel is kept of one
    seen = mask_images(images, actual[..., ::step, ::step])
    assert torch.equal(seen, case[f'{call}_masked'])


def test_the_loss_is_that_of_the_release():
    case = reference('mic_mask')
    head = MODELS.build(
        dict(
            tiny.segmentor().decode_head,
            loss_decode=dict(type='CrossEntropyLoss', avg_non_ignore=False),
        )
    )
    logits = case['loss_logits'].requires_grad_()
    loss = head_loss(head, logits, case['loss_label'], case['loss_weight'])
    torch.testing.assert_close(loss['loss_ce'], case['loss'])
    [grad] = torch.autograd.grad(loss['loss_ce'], logits)
    torch.testing.assert_close(grad, case['loss_grad'], rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize('mode', MODES)
def test_each_mode_hands_over_what_the_release_does(mode, monkeypatch):
    case = reference('mic_modes')
    source = Labelled(case['source_image'], case['source_label'][:, 0])
    target = Labelled(
        case['target_image'], case['pseudo_label'], case['pseudo_weight']
    )
    given = {
        k.split('/')[1]: v for k, v in case.items() if k.split('/')[0] == mode
    }
    if mode.endswith('aug'):
        jitter, blur = given['draw_python_uniform'].tolist()
        names = ('brightness', 'contrast', 'saturation', 'hue')
        drawn = StrongDraws(
            jitter > 0.2,
            blur > 0.5,
            *(given[f'draw_{name}_factor'] for name in names),
            given['draw_order'].tolist(),
            given['draw_sigma'].item(),
        )
        monkeypatch.setattr(masking, 'draw_strong', lambda *_: drawn)
    monkeypatch.setattr(masking, 'draw_mask', lambda *_: given['uniform'])
    part = build(block=16, mode=mode, loss_weight=0.5)
    actual = part.hide(source, target, torch.Generator(), NORMALISER)
    limit = 3e-5 * given['image'].abs().max().item()
    torch.testing.assert_close(
        actual.images, given['image'], rtol=0, atol=limit
    )
    label = given['label'].reshape(actual.labels.shape)
    assert torch.equal(actual.labels, label)
    if 'weight' in given:
        torch.testing.assert_close(actual.weight, given['weight'])
    else:
        assert actual.weight is None
    losses = {'masked.loss_ce': 2.0, 'masked.detail.loss_ce': 3.0}
    weighed = part.weigh(losses, 'masked')
    assert list(weighed.values()) == given['losses_scaled'].tolist()


def test_a_mask_by_a_slow_version():
    height, width, block, ratio = 40, 56, 16, 0.6
    drawn = draw_mask(3, (height, width), block, torch.Generator())
    rows, columns = drawn.shape[-2:]
    assert (rows, columns) == (2, 4)  # 2.5 and 3.5, halves to even
    mask = patch_mask(drawn, (height, width), ratio)
    for y in range(height):
        for x in range(width):
            cell = drawn[:, 0, y * rows // height, x * columns // width]
            assert torch.equal(mask[:, 0, y, x], cell > ratio)


def test_the_share_that_is_hidden():
    drawn = draw_mask(200, (128, 128), 8, torch.Generator().manual_seed(0))
    hidden = ~patch_mask(drawn, (128, 128), 0.7)
    assert hidden.float().mean() == pytest.approx(0.7, abs=0.01)
    assert not torch.equal(hidden[0], hidden[1])


def test_half_of_a_batch_of_each_domain():
    source, target = both(5)
    chosen = choose_domains('separate', source, target)
    assert torch.equal(chosen.images[:3], source.images[:3])
    assert torch.equal(chosen.images[3:], target.images[:2])
    assert chosen.weight[:3].eq(1).all()
    assert torch.equal(chosen.weight[3:], target.weight[:2])
    with pytest.raises(UserError, match='batch_size=1, expected at least 2'):
        choose_domains('separate', *both(1))


@pytest.mark.parametrize('rows', [30, 34])
def test_domains_whose_images_differ_in_size(rows):
    """The source is padded by void, or cut."""
    [source, _], [_, target] = both(), both(size=(rows, 47))
    absent = torch.ones(2, 5, 32, 48, dtype=torch.bool)
    chosen = choose_domains('separate', source._replace(absent=absent), target)
    seen = min(rows, 32)
    own = source.images[0, :, :rows, :47]
    assert torch.equal(chosen.images[0, :, :seen], own)
    assert torch.equal(chosen.labels[0, :seen], source.labels[0, :rows, :47])
    assert chosen.weight[0, :seen].eq(1).all()
    assert chosen.absent[0, :, :seen].all() and not chosen.absent[1].any()
    assert not chosen.images[0, :, seen:].any()
    assert chosen.labels[0, seen:].eq(255).all()
    assert not chosen.weight[0, seen:].any()
    assert not chosen.absent[0, :, seen:].any()
    for part in chosen[:3]:
        assert part.shape[-2:] == (rows, 47)
    assert torch.equal(chosen.images[1], target.images[0])


def test_the_draws_are_those_of_the_generator():
    def images(seed: int) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        return build(block=8).hide(*both(), generator, NORMALISER).images

    assert torch.equal(images(1), images(1))
    assert not torch.equal(images(1), images(2))


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (dict(block=0), 'model.masking.block=0, expected pixels'),
        (dict(ratio=1.5), 'model.masking.ratio=1.5, expected a share'),
        (dict(mode='all'), 'model.masking.mode=all, expected one of separate'),
    ],
)
def test_settings_out_of_their_range(settings, message):
    with pytest.raises(UserError, match=message):
        build(**settings)


def test_a_block_larger_than_the_image():
    message = 'model.masking.block=33, but training images have 32 x 48'
    with pytest.raises(UserError, match=message):
        build(block=33).hide(*both(), torch.Generator(), NORMALISER)


def test_nothing_waits_for_the_device(monkeypatch):
    """The device "meta" has no values that anything could wait for."""
    # There is no autocast for it.
    monkeypatch.setattr('torch.autocast', lambda *_, **__: nullcontext())
    source, target = (
        Labelled(*(None if p is None else p.to('meta') for p in part[:3]))
        for part in both()
    )
    on_device = SimpleNamespace(mean=MEAN.to('meta'), std=STD.to('meta'))
    for mode in MODES:
        part = build(block=8, mode=mode)
        hidden = part.hide(source, target, torch.Generator(), on_device)
        assert hidden.images.is_meta
