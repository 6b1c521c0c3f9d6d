# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch
from mmengine.model import BaseModule
from mmseg.registry import MODELS
from torch import Tensor

from mmseg_cag.errors import UserError
from mmseg_cag.fileio.atomic import atomic_path

# legend: N images, H W image, D channels, h w feature map


@MODELS.register_module()
class CachedEncoder(BaseModule):
    """A frozen encoder whose feature maps are cached on disk.

    Maps of a bit-identical image are read instead of computed, so a head
    trains in minutes on a CPU if there is no random augmentation. An entry's
    name is a hash of the encoder's input, weights and settings, so entries of
    different encoders never mix. Images are encoded one by one: a map does not
    depend on its batch.

    Args:
        encoder: Config of the encoder, which is not trained.
        folder: Folder of the cache; None disables it.
        half: Whether to store half precision: half the space, but rounded
            features, also in the first pass.

    Raises:
        UserError: The encoder also returns class tokens.
    """

    def __init__(
        self, encoder: dict, folder: str | None = None, half: bool = False
    ) -> None:
        super().__init__()
        self.encoder = MODELS.build(encoder).requires_grad_(False)
        if getattr(self.encoder, 'output_cls_token', False):
            raise UserError(
                'CachedEncoder: encoder.output_cls_token=True, expected maps '
                'alone'
            )
        self.settings = repr(encoder)
        self.folder = None if folder is None else Path(folder)
        self.half = half
        self._fingerprint: str | None = None
        self.train()

    @property
    def resize(self) -> Any:
        """The encoder's resize setting."""
        return getattr(self.encoder, 'resize', 1)

    def fit(self, images: Tensor) -> Tensor:
        """Resize images (N, 3, H, W) to a size that the encoder accepts."""
        return self.encoder.fit(images)

    def train(self, mode: bool = True) -> CachedEncoder:
        """Keep the encoder in evaluation mode."""
        super().train(mode)
        self.encoder.eval()
        return self

    def init_weights(self) -> None:
        """Load the encoder's weights."""
        self.encoder.init_weights()
        self._fingerprint = None

    @torch.no_grad()
    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Read or compute the maps (N, D, h, w) of images (N, 3, H, W).

        Raises:
            UserError: The folder cannot be written, or the disk is full.
        """
        rows = [self._maps(image) for image in images.split(1)]
        return tuple(torch.cat(maps) for maps in zip(*rows, strict=True))

    def _maps(self, image: Tensor) -> list[Tensor]:
        """Compute maps (1, D, h, w) of an image (1, 3, H, W), float32."""
        entry = self._entry(image)
        maps = None if entry is None else read_maps(entry)
        if maps is None:
            dtype = torch.float16 if self.half else torch.float32
            found = [own.to(dtype).cpu() for own in self.encoder(image)]
            maps = [own.numpy() for own in found]
            if entry is not None:
                write_maps(entry, maps)
        return [torch.from_numpy(own).to(image.device).float() for own in maps]

    def _entry(self, image: Tensor) -> Path | None:
        if self.folder is None:
            return None
        kind = image.device.type
        precision = (
            torch.get_autocast_dtype(kind)
            if torch.is_autocast_enabled(kind)
            else image.dtype
        )
        key = hashlib.sha256(image.cpu().contiguous().numpy().tobytes())
        told = f'{self.fingerprint} {tuple(image.shape)} {precision}'
        key.update(f'{told} {self.half}'.encode())
        name = key.hexdigest()[:32]
        return self.folder / name[:2] / f'{name}.npz'

    @property
    def fingerprint(self) -> str:
        """Hash of the encoder's weights and settings."""
        if self._fingerprint is None:
            found = hashlib.sha256(self.settings.encode())
            for name, value in self.encoder.state_dict().items():
                found.update(name.encode())
                found.update(value.cpu().contiguous().numpy().tobytes())
            self._fingerprint = found.hexdigest()
        return self._fingerprint

    def _load_from_state_dict(self, *args: Any) -> None:
        """Reset the fingerprint when weights are loaded."""
        super()._load_from_state_dict(*args)
        self._fingerprint = None


def read_maps(entry: Path) -> list[np.ndarray] | None:
    """Read an entry; None if it is missing or incomplete."""
    with suppress(OSError, ValueError, BadZipFile, KeyError, EOFError):
        with np.load(entry, allow_pickle=False) as file:
            return [file[name] for name in file.files]
    return None


def write_maps(entry: Path, maps: list[np.ndarray]) -> None:
    """Write an entry atomically.

    Raises:
        UserError: The folder cannot be written, or the disk is full.
    """
    try:
        # The name includes the process: others may write the same entry.
        with atomic_path(entry, f'.{os.getpid()}') as draft:
            with draft.open('wb') as file:
                np.savez(file, *maps)
    except OSError as error:
        raise UserError(
            f'{entry.parent.parent}: cannot write cached features, expected a '
            f'writable folder with free space ({error.strerror or error})'
        ) from error
