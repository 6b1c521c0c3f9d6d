# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from typing import Any

import numpy as np
import torch
from mmengine.dist import all_gather, get_rank
from mmseg.registry import MODELS
from torch import Tensor, nn

from mmseg_cag.errors import UserError

# legend: N images, P images of the pool, H W image


@MODELS.register_module()
class ImagePool(nn.Module):
    """Translated images of earlier steps, for the discriminator to see again.

    Until it is full, an image is kept and given back. Then by even odds
    either it is given back, or one that was kept is, whose place it takes.

    The pool is one over all ranks: each holds all of it, so a checkpoint of
    the first rank is that of all. What is drawn depends on `seed` and on how
    many images were seen, which are buffers like the images: a resumed run
    draws what the run that was never stopped would have drawn.

    Args:
        size: Images at most; with 0 each image is given back.

    Source: Shrivastava et al., CVPR 2017, Sec. 2.3, as CycleGAN has it.
    """

    def __init__(self, size: int = 50) -> None:
        super().__init__()
        self.size = size
        self.register_buffer('images', torch.empty(0, 3, 0, 0))
        self.register_buffer('seed', torch.randint(2**31, ()))
        self.register_buffer('seen', torch.zeros((), dtype=torch.long))

    def forward(self, images: Tensor) -> Tensor:
        """Exchange images of this step for as many of the pool.

        Args:
            images: Images (N, 3, H, W), without gradient, as many on every
                rank and all of one size.

        Raises:
            UserError: They are not of the size of those that are kept.
        """
        if not self.size:
            return images
        everyone = torch.cat(all_gather(images.contiguous()))
        if not len(self.images):
            self.images = everyone[:0]
        if everyone.shape[1:] != self.images.shape[1:]:
            raise UserError(
                f'ImagePool: an image of {tuple(everyone.shape[2:])} after '
                f'those of {tuple(self.images.shape[2:])}, expected one '
                'height and width: that of RandomCrop, or less than it'
            )
        key = np.random.SeedSequence((int(self.seed), int(self.seen)))
        rng = np.random.default_rng(key)
        given = torch.stack([self._exchange(image, rng) for image in everyone])
        self.seen += len(everyone)
        first = get_rank() * len(images)
        return given[first : first + len(images)]

    def _exchange(self, image: Tensor, rng: np.random.Generator) -> Tensor:
        if len(self.images) < self.size:
            self.images = torch.cat([self.images, image[None]])
            return image
        if rng.random() < 0.5:
            return image
        place = int(rng.integers(self.size))
        kept = self.images[place].clone()
        self.images[place] = image
        return kept

    def _load_from_state_dict(
        self, state_dict: dict, prefix: str, *args: Any
    ) -> None:
        """Make room for as many images as the checkpoint has."""
        saved = state_dict.get(f'{prefix}images')
        if saved is not None:
            self.images = torch.empty_like(saved, device=self.images.device)
        super()._load_from_state_dict(state_dict, prefix, *args)
