# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor

from mmseg_cag.errors import UserError
from mmseg_cag.fileio.safe_load import (
    is_state_dict,
    require_same_tensors,
    safe_load,
)

from .dinov2 import fit_images
from .lora import insert_lora, is_lora

# legend: N images, H W image, D channels, h w feature map


@MODELS.register_module()
class TIMMEncoder(BaseModule):
    """Any encoder of timm, which is an optional package.

    ``init_cfg=dict(type='Pretrained', checkpoint=FILE)`` strictly loads a file
    from timm or the encoder's publisher through timm's own filter; nothing is
    downloaded. With ``dynamic_img_size=True`` a transformer accepts images of
    any size. DINOv2 without registers is refused: timm interpolates its
    position embedding differently from its authors.

    Args:
        model_name: The encoder's name in timm.
        out_indices: Blocks of a transformer or stages of a pyramid whose maps
            (N, D, h, w) are returned; -1 is the last.
        final_norm: Whether a transformer's maps go through its final norm.
        frozen: Whether the encoder is frozen.
        with_cp: Whether to checkpoint activations, to save memory.
        resize: Resize of the images, as for `DINOEncoder`, to multiples of
            ``multiple``.
        multiple: Divisor of the image sides, in pixels.
        lora: Settings of `insert_lora`, as for `DINOEncoder`.
        init_cfg: See `BaseModule`.
        **kwargs: Arguments of timm's ``create_model``.

    Raises:
        UserError: timm cannot be imported or has no such encoder.
    """

    def __init__(
        self,
        model_name: str,
        out_indices: Sequence[int] = (-1,),
        final_norm: bool = True,
        frozen: bool = False,
        with_cp: bool = False,
        resize: float | tuple[int, int] | None = None,
        multiple: int = 1,
        lora: dict | None = None,
        init_cfg: dict | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(init_cfg)
        timm = import_timm()
        if 'dinov2' in model_name and 'reg4' not in model_name:
            raise UserError(
                f'TIMMEncoder: model_name={model_name!r} interpolates '
                "positions differently from DINOv2, expected type='DINOv2'"
            )
        if not timm.is_model(model_name):
            raise UserError(
                f'TIMMEncoder: model_name={model_name!r}, but timm '
                f'{timm.__version__} has no such encoder'
            )
        self.model = timm.create_model(
            model_name, pretrained=False, num_classes=0, **kwargs
        )
        self.model_name = model_name
        self.out_indices = tuple(out_indices)
        self.final_norm = final_norm
        self.resize = resize
        self.multiple = multiple
        self.frozen = frozen
        self.model.set_grad_checkpointing(with_cp)
        if frozen:
            self.model.requires_grad_(False)
        if lora:
            insert_lora(self.model, **lora)

    def train(self, mode: bool = True) -> TIMMEncoder:
        """Switch the mode; a frozen encoder stays in evaluation mode."""
        return super().train(mode and not self.frozen)

    def init_weights(self) -> None:
        """Load the file; otherwise keep timm's random weights."""
        if (self.init_cfg or {}).get('type') == 'Pretrained':
            self._load(self.init_cfg['checkpoint'])
        self._is_init = True

    def _load(self, path: str) -> None:
        if path.endswith('.safetensors'):
            state = import_module('safetensors.torch').load_file(path)
        else:
            state = safe_load(path)
        if not is_state_dict(state):
            raise UserError(f'{path}: expected weights, tensors by name')
        own = sys.modules[type(self.model).__module__]
        if hasattr(own, 'checkpoint_filter_fn'):
            state = own.checkpoint_filter_fn(state, self.model)
        expected = {
            key: value
            for key, value in self.model.state_dict().items()
            if not is_lora(key)
        }
        # The classifier is absent, but layers before it may be present.
        state = {
            key: value
            for key, value in state.items()
            if key in expected or not key.startswith(('head', 'fc.'))
        }
        require_same_tensors(
            expected, state, f"{path}: does not fit timm's {self.model_name},"
        )
        self.model.load_state_dict(state, strict=False)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Compute the maps (N, D, h, w) of images (N, 3, H, W)."""
        images = fit_images(
            images, self.multiple, self.resize, type(self).__name__
        )
        count = len(getattr(self.model, 'blocks', ())) or len(
            self.model.feature_info
        )
        indices = [index % count for index in self.out_indices]
        maps = self.model.forward_intermediates(
            images,
            indices=indices,
            norm=self.final_norm,
            intermediates_only=True,
        )
        # timm returns them in network order.
        by_index = dict(zip(sorted(set(indices)), maps, strict=True))
        return tuple(by_index[index] for index in indices)


def import_timm() -> Any:
    """Import timm.

    Raises:
        UserError: It is not installed, or its imports do not fit the installed
            torch.
    """
    try:
        return import_module('timm')
    except ImportError as error:
        cause = f'{error.name} is not installed' if error.name else str(error)
    # A torchvision built for another torch.
    except RuntimeError as error:
        cause = f'torchvision does not fit torch ({error})'
    raise UserError(
        f'TIMMEncoder: {cause}; expected timm, and a torchvision of the same '
        'build as torch (docs/encoders.md)'
    )
