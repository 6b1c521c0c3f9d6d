# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Masked image consistency, for any method with target labels."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from mmseg.registry import MODELS
from torch import Generator, Tensor, nn

from mmseg_cag.errors import UserError

from .mixing import VOID, Labelled, fit
from .strong_augmentation import draw_flags, draw_strong, strong_transform

# legend: N images, H W image, g cells of the mask

BLOCK = 64  # patch side at Cityscapes' full resolution, pixels
# Modes: domains of the masked images, and whether to augment colours first.
MODES = {
    'separatetrgaug': ('target', True),
    'separatetrg': ('target', False),
    'separatesrcaug': ('source', True),
    'separatesrc': ('source', False),
    'separateaug': ('both', True),
    'separate': ('both', False),
}


def mask_cells(size: tuple[int, int], block: int) -> tuple[int, int]:
    """Compute a mask's rows and columns, halves rounded to even."""
    return round(size[0] / block), round(size[1] / block)


def draw_mask(
    count: int, size: tuple[int, int], block: int, generator: Generator
) -> Tensor:
    """Draw the random numbers of `patch_mask`, (N, 1, g, g) in 0..1."""
    cells = mask_cells(size, block)
    return torch.rand(count, 1, *cells, generator=generator)


def patch_mask(drawn: Tensor, size: tuple[int, int], ratio: float) -> Tensor:
    """Choose the visible patches.

    Args:
        drawn: Random numbers (N, 1, g, g) in 0..1, one per cell.
        size: Height and width of the images.
        ratio: Expected share of hidden cells.

    Returns:
        (N, 1, H, W) bool, False where an image is hidden.

    Source: MIC Eq. 3 and 4, as released.
    """
    return F.interpolate(drawn, size, mode='nearest') > ratio


def mask_images(images: Tensor, mask: Tensor) -> Tensor:
    """Hide patches of normalised images with the mean colour."""
    return images * mask


def require_halves(mode: str, count: int) -> None:
    """Check that a batch can be divided if half of each domain is masked.

    Args:
        mode: One of `MODES`.
        count: Images of each domain in a batch.

    Raises:
        UserError: It has one image.
    """
    if MODES[mode][0] == 'both' and count < 2:
        raise UserError(
            f'model.masking.mode={mode} takes half of a batch from each '
            f'domain, but train_dataloader.batch_size={count}, expected at '
            'least 2'
        )


def choose_domains(mode: str, source: Labelled, target: Labelled) -> Labelled:
    """Choose the images to mask: one domain's, or half of each.

    Args:
        mode: One of `MODES`.
        source: Source images with true labels.
        target: Target images with pseudo labels. For half of each, the source
            is cut or padded to their size.

    Raises:
        UserError: Half of each is wanted, but the batch has one image.
    """
    domain = MODES[mode][0]
    if domain != 'both':
        return source if domain == 'source' else target
    count = len(source.images)
    require_halves(mode, count)
    half, size = count // 2, target.images.shape[-2:]

    def halves(one: Tensor, other: Tensor, padding: int = 0) -> Tensor:
        one = fit(one[: count - half], size, padding)
        return torch.cat([one, other[:half]])

    weights = [
        torch.ones_like(part.labels, dtype=torch.float32)
        if part.weight is None
        else part.weight
        for part in (source, target)
    ]
    absent = source.absent
    if absent is not None:
        absent = halves(absent, torch.zeros_like(fit(absent, size)))
    return Labelled(
        halves(source.images, target.images),
        halves(source.labels, target.labels, VOID),
        halves(*weights),
        absent=absent,
    )


@MODELS.register_module()
class Masking:
    """Masks patches of images and keeps the labels of all pixels.

    To label hidden patches, a network has to learn from their context. Methods
    own one instance and train on the output of `hide`.

    Args:
        block: Side of a patch, pixels: 64 at full resolution, 32 at half.
        ratio: Expected share of hidden patches.
        mode: Images to mask, named as in the release: ``separatetrg`` target
            images, ``separatesrc`` source images, ``separate`` half a batch of
            each; with the suffix ``aug`` colours are augmented first.
        loss_weight: Weight of the loss; as released, it does not apply to
            HRDA's detail crop.
        strength: Strength of the colour jitter.

    Raises:
        UserError: A setting is out of range.

    Source: MIC Sec. 3.2, as released.
    """

    def __init__(
        self,
        block: int = BLOCK,
        ratio: float = 0.7,
        mode: str = 'separatetrgaug',
        loss_weight: float = 1.0,
        strength: float = 0.2,
    ) -> None:
        for name, value, fits, expected in (
            ('block', block, block >= 1, 'pixels'),
            ('ratio', ratio, 0 <= ratio <= 1, 'a share in 0..1'),
            ('mode', mode, mode in MODES, f'one of {", ".join(MODES)}'),
        ):
            if not fits:
                raise UserError(
                    f'model.masking.{name}={value}, expected {expected}'
                )
        self.block = block
        self.ratio = ratio
        self.mode = mode
        self.loss_weight = loss_weight
        self.strength = strength

    @classmethod
    def require_crop(cls, cfg: dict, size: tuple[int, int]) -> None:
        """Check that a patch fits into the training images.

        Args:
            cfg: Config of a `Masking`.
            size: Height and width of the images.

        Raises:
            UserError: The patch is larger.
        """
        block = cfg.get('block', BLOCK)
        if block > min(size):
            raise UserError(
                f'model.masking.block={block}, but training images have '
                f'{size[0]} x {size[1]} pixels, expected at most {min(size)}'
            )

    @torch.no_grad()
    def hide(
        self,
        source: Labelled,
        target: Labelled,
        generator: Generator,
        normaliser: nn.Module,
    ) -> Labelled:
        """Hide patches of images; keep labels and weights.

        Args:
            source: Source images with true labels.
            target: Target images with pseudo labels.
            generator: Source of the random numbers.
            normaliser: Module with ``mean`` and ``std`` of the images.

        Raises:
            UserError: A patch is larger than the images.
        """
        chosen = choose_domains(self.mode, source, target)
        images = chosen.images
        size = tuple(images.shape[-2:])
        self.require_crop(dict(block=self.block), size)
        if MODES[self.mode][1]:
            drawn = draw_strong(
                draw_flags(generator), generator, len(images), self.strength
            )
            images = strong_transform(
                images, drawn, normaliser.mean, normaliser.std
            )
        drawn = draw_mask(len(images), size, self.block, generator)
        drawn = drawn.to(images.device, non_blocking=True)
        mask = patch_mask(drawn, size, self.ratio)
        return chosen._replace(images=mask_images(images, mask))

    def weigh(self, losses: dict, prefix: str) -> dict:
        """Weight the losses on masked images, except those on a detail."""
        return {
            name: self.loss_weight * loss
            if 'loss' in name and not name.startswith(f'{prefix}.detail.')
            else loss
            for name, loss in losses.items()
        }


def draw_hidden(
    encoder: nn.Module, images: Tensor, generator: Generator
) -> Tensor:
    """Draw a random number in 0..1 for each patch of an encoder.

    Args:
        encoder: Encoder with a ``mask_shape``.
        images: (N, 3, H, W).
        generator: Random generator, on the CPU.

    Returns:
        (N, ...) float32, on the device of the images.
    """
    shape = encoder.mask_shape(images.shape[-2:])
    drawn = torch.rand(len(images), *shape, generator=generator)
    return drawn.to(images.device, non_blocking=True)


@contextmanager
def masked(backbone: nn.Module, mask: Tensor) -> Iterator[None]:
    """Make a backbone hide patches (N, ...) bool of its input."""
    handle = backbone.register_forward_pre_hook(
        lambda _, inputs: (*inputs, mask)
    )
    try:
        yield
    finally:
        handle.remove()


def require_mask(backbone: nn.Module, ratio: float) -> None:
    """Check that a backbone can hide patches.

    Raises:
        UserError: It cannot, its mask token is not trained, or the ratio is
            out of range.
    """
    kind = type(backbone).__name__
    if not 0 < ratio < 1:
        raise UserError(
            f'model.mask_ratio={ratio}, expected a share above 0 and below 1'
        )
    if not hasattr(backbone, 'mask_shape'):
        raise UserError(
            f'model.mask_ratio={ratio}: {kind} cannot hide patches, expected '
            'DINOv2, DINOv3 or ViTAdapter'
        )
    token = getattr(backbone, 'mask_token', None)
    if token is not None and not token.requires_grad:
        raise UserError(
            f'model.mask_ratio={ratio}: the mask token of {kind} is not '
            'trained, expected model.backbone.masked=True'
        )
