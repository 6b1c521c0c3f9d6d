# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch.nn.functional as F
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor, cat, nn

from mmseg_cag.errors import UserError
from mmseg_cag.models.two_scales import (
    Size,
    TwoScales,
    draw_box,
    slide_boxes,
)

# legend: N images, W windows, H W image


@MODELS.register_module()
class HRDABackbone(BaseModule):
    """Any backbone, applied to a downscaled image and to full-size details.

    In training mode the detail is one window, the same in all images of a
    pass; in evaluation mode windows slide over the whole image. A decode head
    `HRDAHead` fuses both. Weights keep the keys of the plain backbone.

    Args:
        backbone: Config of the backbone.
        detail_size: Height and width of a window, pixels; limited to the size
            of the image.
        neck: Config of a neck between the backbone and the head.
        divisor: Twice the stride of the head's scores: positions and sizes of
            windows are multiples of it.
        overlap: Whether windows slide by half their size instead of all of it.

    Source: HRDA Sec. 3.2 to 3.4, as released.
    """

    def __init__(
        self,
        backbone: dict,
        detail_size: Size,
        neck: dict | None = None,
        divisor: int = 8,
        overlap: bool = True,
    ) -> None:
        super().__init__()
        self.net = MODELS.build(backbone)
        self.neck = MODELS.build(neck) if neck else None
        self.detail_size = tuple(detail_size)
        self.divisor = divisor
        self.overlap = overlap
        self._register_state_dict_hook(_hide_own_name)
        self._register_load_state_dict_pre_hook(
            _insert_own_name, with_module=True
        )

    @classmethod
    def require_crop(cls, cfg: dict, size: Size) -> None:
        """Check that training images can be halved and cropped.

        Args:
            cfg: Config of an `HRDABackbone`.
            size: Height and width of the images.

        Raises:
            UserError: Images or window are no multiples of the divisor, or the
                window is larger.
        """
        divisor = cfg.get('divisor', 8)
        detail = tuple(cfg['detail_size'])
        for name, sides in (
            ('model.backbone.detail_size', detail),
            ('the crop of training images', size),
        ):
            if any(side % divisor for side in sides):
                raise UserError(
                    f'{name} is {sides[0]} x {sides[1]}, expected multiples '
                    f'of model.backbone.divisor={divisor}'
                )
        if detail[0] > size[0] or detail[1] > size[1]:
            raise UserError(
                f'model.backbone.detail_size={detail}, but training images '
                f'have {size[0]} x {size[1]} pixels, expected at most this '
                'size'
            )

    def forward(self, images: Tensor) -> TwoScales:
        """Compute feature maps of both scales of images (N, 3, H, W).

        Raises:
            UserError: In training, a size is not a multiple of the divisor.
        """
        seen = tuple(images.shape[-2:])
        if self.training:
            own = dict(detail_size=self.detail_size, divisor=self.divisor)
            self.require_crop(own, seen)
        else:
            below, right = (-side % self.divisor for side in seen)
            images = F.pad(images, (0, right, 0, below))
        size = tuple(images.shape[-2:])
        scales = TwoScales(self.context(images))
        scales.size, scales.seen = size, seen
        scales.divisor = self.divisor
        scales.boxes = self._boxes(size)
        windows = cat([box.cut(images) for box in scales.boxes])
        scales.detail = self._extract(windows)
        return scales

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Compile only the backbone: window positions change in each call."""
        self.net.compile(*args, **kwargs)

    def context(self, images: Tensor) -> Sequence[Tensor]:
        """Compute feature maps of the images at half their size."""
        half = [side // 2 for side in images.shape[-2:]]
        return self._extract(
            F.interpolate(images, half, mode='bilinear', align_corners=False)
        )

    def _extract(self, images: Tensor) -> Sequence[Tensor]:
        maps = self.net(images)
        return maps if self.neck is None else self.neck(maps)

    def _boxes(self, size: Size) -> list:
        crop = tuple(map(min, self.detail_size, size))
        if self.training:
            return [draw_box(size, crop, self.divisor)]
        share = 2 if self.overlap else 1
        # For an odd number of divisors, slightly less than half.
        stride = [
            max(1, side // share // self.divisor) * self.divisor
            for side in crop
        ]
        return slide_boxes(size, crop, tuple(stride))


def _hide_own_name(
    module: nn.Module, state: dict, prefix: str, metadata: dict
) -> None:
    """Remove this wrapper's prefix from the backbone's weights."""
    own = f'{prefix}net.'
    for key in [key for key in state if key.startswith(own)]:
        state[prefix + key.removeprefix(own)] = state.pop(key)


def _insert_own_name(
    module: nn.Module, state: dict, prefix: str, *_: object
) -> None:
    """Undo `_hide_own_name` in a loaded state dict."""
    neck = f'{prefix}neck.'
    for key in list(state):
        if not key.startswith(prefix):
            continue
        if module.neck is not None and key.startswith(neck):
            continue
        state[f'{prefix}net.{key.removeprefix(prefix)}'] = state.pop(key)
