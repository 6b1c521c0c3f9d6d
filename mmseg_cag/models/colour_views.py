# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Colour views of images, as in VFM-UDA.

Each image is augmented independently. `draw_view` draws all random numbers
from a CPU generator; the other functions take them as arguments.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Generator, Tensor, nn

from .strong_augmentation import blur, shift_hue

# legend: N images, H W image

LUMA = (0.2989, 0.587, 0.114)  # of red, green and blue, in a grey image


class View(NamedTuple):
    """Strength of the colour changes in a view.

    Attributes:
        jitter: Probability of the next four, in random order.
        brightness: Largest deviation of the factor from 1.
        contrast: Likewise.
        saturation: Likewise.
        hue: Largest shift, as a fraction of the circle.
        grey: Probability of converting to grey.
        blur: Probability of a blur.
        sigma: Largest sigma of the blur, in pixels; the smallest is 0.15.
    """

    jitter: float
    brightness: float
    contrast: float
    saturation: float
    hue: float
    grey: float = 0.0
    blur: float = 0.0
    sigma: float = 1.15


VIEWS = dict(
    weak=View(0.9, 32 / 255, 0.5, 0.5, 18 / 360),
    mixed=View(0.8, 0.2, 0.2, 0.2, 0.2, blur=0.5),
    strong=View(0.8, 0.8, 0.8, 0.8, 0.4, grey=0.1, blur=0.5, sigma=3.0),
)


class ViewDraws(NamedTuple):
    """Random draws for one image.

    Attributes:
        brightness: Factor.
        contrast: Factor.
        saturation: Factor.
        hue: Shift, as a fraction of the circle.
        order: Order of the four changes, 0 for the first of the above; empty
            without jitter.
        grey: Whether to convert to grey.
        sigma: Sigma of the blur, in pixels; 0 for none.
    """

    brightness: float
    contrast: float
    saturation: float
    hue: float
    order: list[int]
    grey: bool
    sigma: float


def draw_view(view: View, generator: Generator) -> ViewDraws:
    """Draw the random numbers of `change_colours` for one image."""
    jitter, grey, blurred, spread = torch.rand(4, generator=generator).tolist()
    signed = (2 * torch.rand(4, generator=generator) - 1).tolist()
    order = torch.randperm(4, generator=generator).tolist()
    deviations = view.brightness, view.contrast, view.saturation
    factors = (
        1 + sign * deviation
        for sign, deviation in zip(signed, deviations, strict=False)
    )
    sigma = 0.15 + spread * (view.sigma - 0.15)
    return ViewDraws(
        *factors,
        hue=signed[3] * view.hue,
        order=order if jitter < view.jitter else [],
        grey=grey < view.grey,
        sigma=sigma if blurred < view.blur else 0.0,
    )


def change_colours(image: Tensor, draws: ViewDraws) -> Tensor:
    """Change the colours of an RGB image (1, 3, H, W) in 0..1, and blur it.

    Source: VFM-UDA and VFM-UDA++ as released, by the formulas of
        torchvision's ``ColorJitter``, ``Grayscale`` and ``GaussianBlur``.
    """
    changes = (
        lambda x: (draws.brightness * x).clamp(0, 1),
        lambda x: blend(x, grey_of(x).mean(), draws.contrast),
        lambda x: blend(x, grey_of(x), draws.saturation),
        lambda x: shift_hue(x, draws.hue),
    )
    for number in draws.order:
        image = changes[number](image)
    if draws.grey:
        image = grey_of(image).expand_as(image)
    return blur(image, draws.sigma) if draws.sigma else image


def grey_of(images: Tensor) -> Tensor:
    """Compute the brightness (N, 1, H, W) of RGB images."""
    red, green, blue = images.split(1, 1)
    # Numbers, not a tensor: to copy one to a GPU waits for it.
    return LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue


def blend(images: Tensor, others: Tensor, share: float) -> Tensor:
    """Blend images with others; a share above 1 extrapolates."""
    return (share * images + (1 - share) * others).clamp(0, 1)


@torch.no_grad()
def view_images(
    images: Tensor, kind: str, generator: Generator, normaliser: nn.Module
) -> Tensor:
    """Make a view of normalised images (N, 3, H, W).

    Args:
        images: float32.
        kind: One of `VIEWS`.
        generator: Source of the random numbers.
        normaliser: Module with ``mean`` and ``std`` of the images (3, 1, 1),
            in grey levels.
    """
    mean, std = normaliser.mean, normaliser.std
    views = []
    for image in images.split(1):
        draws = draw_view(VIEWS[kind], generator)
        seen = change_colours((image * std + mean) / 255, draws)
        views.append((seen * 255 - mean) / std)
    return torch.cat(views)
