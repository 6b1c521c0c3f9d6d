# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import colorsys
import itertools
import math
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from mmseg_cag.models.mixing import (
    Labelled,
    class_mask,
    draw_classes,
    paste,
)
from mmseg_cag.models.online_labels import online_pseudo_labels
from mmseg_cag.models.strong_augmentation import (
    StrongDraws,
    blur,
    draw_flags,
    draw_strong,
    jitter,
    kernel_side,
    strong_transform,
)
from tests import golden

MEAN = torch.tensor([123.675, 116.28, 103.53]).view(3, 1, 1)
STD = torch.tensor([58.395, 57.12, 57.375]).view(3, 1, 1)


def reference(name: str) -> dict[str, Tensor]:
    case = np.load(golden.golden_file(f'modern/{name}.npz'))
    return {key: torch.from_numpy(case[key]) for key in case.files}


def draws(**changes) -> StrongDraws:
    same = dict(
        jitter=True,
        blur=True,
        brightness=torch.ones(1),
        contrast=torch.ones(1),
        saturation=torch.ones(1),
        hue=torch.zeros(1),
        order=[0, 1, 2, 3],
        sigma=0.7,
    )
    return StrongDraws(**{**same, **changes})


@pytest.mark.parametrize('threshold', ['0.968', '0.7'])
def test_pseudo_labels_are_those_of_the_release(threshold):
    case = reference('pseudo_label')
    labels, weight = online_pseudo_labels(
        case['logits'], float(threshold), top=3, bottom=9
    )
    assert torch.equal(labels, case['label'].long())
    expected = case[f'weight_rows_{threshold}']
    torch.testing.assert_close(weight, expected.float())
    _, plain = online_pseudo_labels(case['logits'], float(threshold))
    share = case[f'q_{threshold}'].float()
    torch.testing.assert_close(plain, share.expand_as(plain))


@pytest.mark.parametrize('threshold', ['0.968', '0.7'])
def test_pixels_out_of_a_mask_have_no_weight(threshold):
    case = reference('pseudo_label')
    trusted = case['valid_mask'][:, 0] == 1
    _, weight = online_pseudo_labels(
        case['logits'], float(threshold), trusted=trusted
    )
    expected = case[f'weight_masked_{threshold}'].float()
    torch.testing.assert_close(weight, expected)


def test_mixed_images_are_those_of_the_release():
    case = reference('classmix')
    labels = case['source_label'][:, 0].long()
    preference = torch.ones(2, 256)
    for image in range(2):
        preference[image, case[f'classes_{image}'].long()] = 0
    mask = class_mask(labels, preference)
    assert torch.equal(mask.int(), case['mask'][:, 0].int())
    mixed = paste(
        Labelled(case['source_image'], labels),
        Labelled(
            case['target_image'],
            case['pseudo_label'].long(),
            case['pseudo_weight'],
        ),
        mask,
    )
    assert torch.equal(mixed.images, case['mixed_image'])
    assert torch.equal(mixed.labels, case['mixed_label'][:, 0].long())
    torch.testing.assert_close(mixed.weight, case['mixed_weight'])


@pytest.mark.parametrize('size', [(3, 6), (5, 4), (4, 5), (6, 7)])
def test_source_images_of_another_size_lie_at_the_top_left(size):
    height, width = 4, 5
    source = Labelled(
        torch.rand(2, 3, *size),
        torch.ones(2, *size).long(),
        absent=torch.ones(2, 1, *size, dtype=torch.bool),
    )
    target = Labelled(
        torch.rand(2, 3, height, width),
        torch.zeros(2, height, width).long(),
        torch.rand(2, height, width),
    )
    mask = torch.rand(2, *size) < 0.5
    mixed = paste(source, target, mask)
    for image, row, column in itertools.product((0, 1), range(4), range(5)):
        is_source = row < size[0] and column < size[1]
        is_source = is_source and bool(mask[image, row, column])
        pixel = (source if is_source else target).images[image, :, row, column]
        assert torch.equal(mixed.images[image, :, row, column], pixel)
        assert mixed.labels[image, row, column] == is_source
        assert mixed.absent[image, 0, row, column] == is_source
        weight = 1 if is_source else target.weight[image, row, column]
        assert mixed.weight[image, row, column] == weight


@pytest.mark.parametrize('call', ['a', 'b', 'c'])
def test_strong_transforms_are_those_of_the_release(call):
    case = reference('strong_transform')
    names = ('brightness', 'contrast', 'saturation', 'hue')
    drawn = draws(
        **{n: case[f'{call}_{n}_factor'].flatten() for n in names},
        order=case[f'{call}_order'].tolist(),
        sigma=case[f'{call}_sigma'].item(),
        blur=False,
    )
    images = case[f'{call}_image'].float()
    actual = strong_transform(images, drawn, MEAN, STD)
    expected = case[f'{call}_jittered']
    limit = 3e-5 * expected.abs().max().item()
    torch.testing.assert_close(actual, expected, rtol=0, atol=limit)
    blurred = blur(expected, drawn.sigma)
    torch.testing.assert_close(
        blurred, case[f'{call}_blurred'], rtol=0, atol=limit
    )


def test_kernels_have_the_sides_of_the_release():
    case = reference('strong_transform')
    for size, side in case['kernel_for_size'].tolist():
        assert kernel_side(size) == side


def test_half_of_the_classes_of_the_batch_rounded_up():
    labels = torch.tensor([[[3, 3, 7]], [[255, 9, 7]]])
    preference = draw_classes(2, torch.Generator().manual_seed(0))
    for image in range(2):
        present = sorted({3, 7, 9, 255}, key=lambda c: preference[image, c])
        expected = torch.isin(labels[image], torch.tensor(present[:2]))
        assert torch.equal(class_mask(labels, preference)[image], expected)
    one = class_mask(torch.full((1, 2, 2), 4), preference[:1])
    assert one.all()


def test_each_class_is_chosen_as_often():
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(5).view(1, 1, 5).expand(2000, 1, 5)
    mask = class_mask(labels, draw_classes(2000, generator))
    assert mask.sum(2).eq(3).all()
    share = mask.float().mean((0, 1))
    torch.testing.assert_close(share, torch.full((5,), 0.6), atol=0.04, rtol=0)


def test_rows_that_are_not_trusted():
    logits = torch.randn(2, 5, 6, 4)
    labels, weight = online_pseudo_labels(logits, 0.5, top=2, bottom=1)
    confidence = logits.softmax(1).amax(1)
    share = (confidence >= 0.5).float().mean()
    assert torch.equal(labels, logits.argmax(1))
    assert not weight[:, :2].any() and not weight[:, 5:].any()
    torch.testing.assert_close(
        weight[:, 2:5], share.expand(2, 3, 4).contiguous()
    )


def colour_by_colour(image: Tensor, change) -> Tensor:
    """Change each pixel by Python's own conversions."""
    changed = torch.empty_like(image)
    for y in range(image.shape[1]):
        for x in range(image.shape[2]):
            h, s, v = colorsys.rgb_to_hsv(*image[:, y, x].tolist())
            rgb = colorsys.hsv_to_rgb(*change(h, s, v))
            changed[:, y, x] = torch.tensor(rgb)
    return changed


@pytest.mark.parametrize('hue', [-0.2, 0.0, 0.15])
@pytest.mark.parametrize('saturation', [0.8, 1.2])
def test_colours_by_a_slow_version(hue, saturation):
    image = torch.rand(3, 5, 6)
    image[:, 0] = 0.5  # grey has no hue
    drawn = draws(
        hue=torch.tensor([hue]), saturation=torch.tensor([saturation])
    )
    expected = colour_by_colour(
        image, lambda h, s, v: ((h + hue) % 1, min(s * saturation, 1), v)
    )
    actual = jitter(image[None], drawn)[0]
    torch.testing.assert_close(actual, expected, atol=2e-5, rtol=1e-4)


def test_a_blur_by_a_slow_version():
    image, sigma = torch.randn(1, 3, 40, 60), 0.9
    padded = torch.nn.functional.pad(image, (2, 2, 1, 1), mode='reflect')
    expected = torch.zeros_like(image)
    weights = 0.0
    for dy in (-1, 0, 1):
        for dx in (-2, -1, 0, 1, 2):
            rows = math.exp(-(dy**2) / (2 * sigma**2))
            columns = math.exp(-(dx**2) / (2 * sigma**2))
            part = padded[:, :, 1 + dy : 41 + dy, 2 + dx : 62 + dx]
            expected += rows * columns * part
            weights += rows * columns
    assert (kernel_side(40), kernel_side(60)) == (3, 5)
    torch.testing.assert_close(blur(image, sigma), expected / weights)


def test_draws_are_a_function_of_the_generator():
    def draw(seed: int) -> tuple:
        generator = torch.Generator().manual_seed(seed)
        return draw_strong(draw_flags(generator), generator, count=3)

    first, again, other = draw(1), draw(1), draw(2)
    assert torch.equal(first.hue, again.hue) and first.order == again.order
    assert not torch.equal(first.hue, other.hue)
    flags = [draw(seed)[:2] for seed in range(400)]
    jittered, blurred = (
        sum(column) / 400 for column in zip(*flags, strict=True)
    )
    assert 0.74 < jittered < 0.86 and 0.43 < blurred < 0.57
    for seed in range(50):
        one = draw(seed)
        assert all(
            (part - 1).abs().max() <= 0.2
            for part in (one.brightness, one.contrast, one.saturation)
        )
        assert one.hue.abs().max() <= 0.2 and 0.15 <= one.sigma <= 1.15


def test_mixed_precision_leaves_the_images_as_they_are():
    images = torch.randn(2, 3, 24, 32)
    drawn = draw_strong((True, True), torch.Generator().manual_seed(0), 2)
    expected = strong_transform(images, drawn, MEAN, STD)
    with torch.autocast('cpu', torch.bfloat16):
        actual = strong_transform(images, drawn, MEAN, STD)
    assert actual.dtype == torch.float32 and torch.equal(actual, expected)


def test_nothing_waits_for_the_device(monkeypatch):
    """The device "meta" has no values that anything could wait for."""
    # There is no autocast for it.
    monkeypatch.setattr('torch.autocast', lambda *_, **__: nullcontext())
    generator = torch.Generator().manual_seed(0)
    with torch.device('meta'):
        logits, images = torch.rand(2, 5, 24, 32), torch.rand(2, 3, 24, 32)
    labels, weight = online_pseudo_labels(logits, 0.5, top=1)
    mask = class_mask(labels, draw_classes(2, generator))
    drawn = draw_strong((True, True), generator, 2)
    mean, std = MEAN.to('meta'), STD.to('meta')
    images = strong_transform(images, drawn, mean, std)
    assert all(part.is_meta for part in (labels, weight, mask, images))


def test_half_precision():
    image = torch.rand(1, 3, 24, 24).bfloat16()
    assert blur(image, 0.5).dtype == torch.bfloat16
    size = interpolate(image, (12, 12))
    labels, weight = online_pseudo_labels(size, 0.3)
    assert labels.dtype == torch.int64 and weight.dtype == torch.float32
