# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Colour jitter and blur of DACS, DAFormer and successors.

Functions named ``draw_*`` draw random numbers from a CPU generator; the others
take them as arguments.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

# legend: N images, H W image

# Blur taps further out weigh less than 1e-10: a minimum in pixels for a small
# sigma, in sigmas for a large one.
BLUR_RADIUS = 8
BLUR_SIGMAS = 6.8
CIRCLE = 2 * math.pi


class StrongDraws(NamedTuple):
    """Random draws for one call of `strong_transform`.

    Attributes:
        jitter: Whether to jitter colours.
        blur: Whether to blur.
        brightness: Factor of each image (N,).
        contrast: Likewise.
        saturation: Likewise.
        hue: Shift of each image (N,), as a fraction of the circle.
        order: Order of the four changes, 0 for the first of the above.
        sigma: Sigma of the blur, in pixels.
    """

    jitter: bool
    blur: bool
    brightness: Tensor
    contrast: Tensor
    saturation: Tensor
    hue: Tensor
    order: list[int]
    sigma: float


def draw_flags(generator: Generator) -> tuple[bool, bool]:
    """Draw whether to jitter (80 %) and blur (50 %) a batch."""
    jitter, blur = torch.rand(2, generator=generator).tolist()
    return jitter > 0.2, blur > 0.5


def draw_strong(
    flags: tuple[bool, bool],
    generator: Generator,
    count: int = 1,
    strength: float = 0.2,
) -> StrongDraws:
    """Draw the random numbers of one `strong_transform` call.

    Args:
        flags: Result of `draw_flags`, the same for a whole batch.
        generator: Random generator, on the CPU.
        count: Images of the call.
        strength: Largest deviation of the four changes.
    """
    factors = torch.rand(4, count, generator=generator) * 2 - 1
    *around_one, hue = factors * strength
    order = torch.randperm(4, generator=generator).tolist()
    sigma = 0.15 + torch.rand((), generator=generator).item()
    return StrongDraws(
        *flags, *(1 + part for part in around_one), hue, order, sigma
    )


def strong_transform(
    images: Tensor, draws: StrongDraws, mean: Tensor, std: Tensor
) -> Tensor:
    """Jitter the colours of normalised images, then blur them.

    Args:
        images: (N, 3, H, W) float32, normalised.
        draws: Result of `draw_strong`.
        mean: Mean of the normalisation (3, 1, 1), in grey levels.
        std: Its standard deviation, likewise.

    Source: DAFormer as released; colours by the formulas of kornia 0.5.8.
    """
    if draws.jitter:
        grey = (images * std + mean) / 255
        images = (jitter(grey, draws) * 255 - mean) / std
    if draws.blur:
        images = blur(images, draws.sigma)
    return images


def jitter(images: Tensor, draws: StrongDraws) -> Tensor:
    """Jitter the colours of RGB images (N, 3, H, W) in 0..1."""

    def per_image(factors: Tensor) -> Tensor:
        return factors.to(images, non_blocking=True)[:, None, None, None]

    changes = (
        lambda x: (x + per_image(draws.brightness - 1)).clamp(0, 1),
        lambda x: (x * per_image(draws.contrast)).clamp(0, 1),
        lambda x: scale_saturation(x, per_image(draws.saturation)),
        lambda x: shift_hue(x, per_image(draws.hue)),
    )
    for number in draws.order:
        images = changes[number](images)
    return images


def scale_saturation(images: Tensor, factor: Tensor) -> Tensor:
    """Multiply the saturation of RGB images, clipped to 0..1."""
    hue, saturation, value = to_hsv(images)
    return to_rgb(hue, (saturation * factor).clamp(0, 1), value)


def shift_hue(images: Tensor, shift: Tensor) -> Tensor:
    """Rotate the hue of RGB images by a fraction of the circle."""
    hue, saturation, value = to_hsv(images)
    turned = torch.fmod(hue + CIRCLE * shift, CIRCLE)
    return to_rgb(turned, saturation, value)


# Sums and products in kornia's order, so that colours are bit-identical.
def to_hsv(images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Convert RGB to hue in 0..2 pi, saturation and value (N, 1, H, W)."""
    value, first = images.max(1, keepdim=True)
    span = value - images.amin(1, keepdim=True)
    saturation = span / (value + 1e-6)
    span = torch.where(span == 0, torch.ones_like(span), span)
    red, green, blue = (value - images).split(1, 1)
    sector = torch.cat(
        [blue - green, 2 * span + red - blue, 4 * span + green - red], 1
    ).gather(1, first)
    return CIRCLE * ((sector / span / 6) % 1), saturation, value


def to_rgb(hue: Tensor, saturation: Tensor, value: Tensor) -> Tensor:
    """Convert hue, saturation and value to RGB (N, 3, H, W)."""
    place = hue / CIRCLE * 6
    sector = place.floor() % 6
    part = place % 6 - sector
    low = value * (1 - saturation)
    falling = value * (1 - part * saturation)
    rising = value * (1 - (1 - part) * saturation)
    levels = torch.cat([value, falling, low, low, rising, value], 1)
    # On the hue circle green is a third after red, blue two thirds.
    return torch.cat(
        [levels.gather(1, (sector + k).long() % 6) for k in (0, 4, 2)], 1
    )


def blur(images: Tensor, sigma: float) -> Tensor:
    """Gaussian blur of images (N, 3, H, W) with reflected borders."""
    for axis in (-2, -1):
        images = _blur_axis(images, sigma, axis)
    return images


def _blur_axis(images: Tensor, sigma: float, axis: int) -> Tensor:
    reach = max(BLUR_RADIUS, math.ceil(BLUR_SIGMAS * sigma))
    radius = min(kernel_side(images.shape[axis]) // 2, reach)
    distance = torch.arange(-radius, radius + 1, device=images.device)
    taps = torch.exp(-(distance.float() ** 2) / (2 * sigma**2))
    taps = (taps / taps.sum()).to(images.dtype)
    shape, padding = [1, 1, 1, 1], [0, 0, 0, 0]
    shape[axis] = len(taps)
    first = 2 if axis == -2 else 0
    padding[first : first + 2] = radius, radius
    channels = images.shape[1]
    kernel = taps.view(shape).expand(channels, -1, -1, -1)
    padded = F.pad(images, padding, mode='reflect')
    # Use the precision of the images, not of the network.
    with torch.autocast(images.device.type, enabled=False):
        return F.conv2d(padded, kernel, groups=channels)


def kernel_side(size: int) -> int:
    """Compute the released kernel's side: a tenth of the image, odd."""
    side = math.ceil(0.1 * size)
    return side if side % 2 else side - 1


def draw_cutout(count: int, generator: Generator) -> Tensor:
    """Draw the centres of `cut_out`, (N, 2) float32 in 0..1."""
    return torch.rand(count, 2, generator=generator)


def cut_out(
    images: Tensor, centres: Tensor, value: Tensor
) -> tuple[Tensor, Tensor]:
    """Cut out a square of each image, a third of its shorter side.

    Args:
        images: (N, 3, H, W) float32.
        centres: Random centres as shares of height and width (N, 2).
        value: Fill colour (3, 1, 1).

    Returns:
        The images and the mask of visible pixels (N, H, W) bool.

    Source: ProDA as released.
    """
    height, width = images.shape[-2:]
    half = min(height, width) / 6
    inside = []
    centres = centres.to(images.device, non_blocking=True)
    for size, centre in zip((height, width), centres.T, strict=True):
        place = torch.arange(size, device=images.device) + 0.5
        inside.append((place - centre[:, None] * size).abs() < half)
    covered = inside[0][:, :, None] & inside[1][:, None]
    return torch.where(covered[:, None], value, images), ~covered


@torch.no_grad()
def strong_cut_view(
    images: Tensor,
    generator: Generator,
    mean: Tensor,
    std: Tensor,
    strength: float,
) -> tuple[Tensor, Tensor]:
    """Change colours, blur, and cover a square of each image with grey.

    Args:
        images: (N, 3, H, W) float32, normalised.
        generator: On the CPU.
        mean: By which they are normalised (3, 1, 1), in grey levels.
        std: Likewise.
        strength: Largest deviation of the colours.

    Returns:
        The images, and where they are still seen (N, H, W) bool.

    Source: ProDA as released.
    """
    flags = draw_flags(generator)
    draws = draw_strong(flags, generator, len(images), strength)
    images = strong_transform(images, draws, mean, std)
    places = draw_cutout(len(images), generator)
    return cut_out(images, places, (127 - mean) / std)
