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
    """History of translated images for the discriminator.

    Until it is full, each image is stored and returned. Afterwards, with even
    odds, either the image is returned or it replaces a stored image, which is
    returned instead. All ranks share one pool and hold a full copy, so the
    first rank's checkpoint is complete. Draws depend on `seed` and the number
    of images seen, which are buffers like the images, so a resumed run draws
    the same.

    Args:
        size: Maximum number of images; 0 disables the pool.

    Source: Shrivastava et al., CVPR 2017, Sec. 2.3, as CycleGAN has it.
    """

    def __init__(self, size: int = 50) -> None:
        super().__init__()
        self.size = size
        self.register_buffer('images', torch.empty(0, 3, 0, 0))
        self.register_buffer('seed', torch.randint(2**31, ()))
        self.register_buffer('seen', torch.zeros((), dtype=torch.long))

    def forward(self, images: Tensor) -> Tensor:
        """Exchange images of this step with images of the pool.

        Args:
            images: Images (N, 3, H, W), without gradient, of equal number and
                size on every rank.

        Raises:
            UserError: Their size differs from the stored images.
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
                'height and width, at most that of RandomCrop'
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
        """Resize the pool to the checkpoint's number of images."""
        saved = state_dict.get(f'{prefix}images')
        if saved is not None:
            self.images = torch.empty_like(saved, device=self.images.device)
        super()._load_from_state_dict(state_dict, prefix, *args)
