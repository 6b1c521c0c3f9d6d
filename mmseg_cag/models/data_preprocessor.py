# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.model import BaseDataPreprocessor
from mmengine.structures import BaseDataElement, PixelData
from mmseg.models import SegDataPreProcessor
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import Tensor, nn

from mmseg_cag.errors import UserError


@MODELS.register_module()
class UDADataPreprocessor(BaseDataPreprocessor):
    """Normalise, pad and stack images with settings per domain.

    A training batch is ``{'inputs': {'source': [...], 'target': [...]},
    'data_samples': {same}}``, with any domains; each becomes (N, 3, H, W)
    float32. A plain batch, as in validation, counts as target. A sample's
    ``pseudo_sem_seg`` and ``trusted`` are padded like its image.

    Args:
        domains: Config of the preprocessor of each domain, or of members of a
            `DomainPool`, by name.
        default: Config of the preprocessor of all other domains.

    Raises:
        UserError: Both are missing, an image is of an unknown domain, or
            images of members with different preprocessors differ in size.
    """

    def __init__(
        self,
        domains: dict[str, dict] | None = None,
        default: dict | None = None,
    ) -> None:
        super().__init__()
        if not domains and not default:
            raise UserError(
                'UDADataPreprocessor: expected domains or default, with the '
                'config of a preprocessor'
            )
        self.domains = nn.ModuleDict(
            {name: MODELS.build(cfg) for name, cfg in (domains or {}).items()}
        )
        self.default = MODELS.build(default) if default else None

    def of(self, domain: str) -> BaseDataPreprocessor:
        """Get the preprocessor of a domain."""
        if domain in self.domains:
            return self.domains[domain]
        if self.default is None:
            raise UserError(
                f'model.data_preprocessor: no domain {domain}, expected one '
                f'of {list(self.domains)}, or a default'
            )
        return self.default

    def forward(self, data: dict, training: bool = False) -> dict:
        """Preprocess a batch of several domains, or a plain one.

        Args:
            data: The collated batch.
            training: Whether to pad and augment as in training.
        """
        if not isinstance(data['inputs'], dict):
            return self._of_one('target', data, training)
        domains = {
            domain: self._of_one(
                domain,
                dict(inputs=images, data_samples=data['data_samples'][domain]),
                training,
            )
            for domain, images in data['inputs'].items()
        }
        return {
            key: {domain: batch[key] for domain, batch in domains.items()}
            for key in ('inputs', 'data_samples')
        }

    def _of_one(self, domain: str, batch: dict, training: bool) -> dict:
        """Preprocess a batch of one domain, per member if it is a pool."""
        samples = batch.get('data_samples') or ()
        members = [sample.get('domain') for sample in samples]
        names = [m if m in self.domains else domain for m in members]
        used = list(dict.fromkeys(names))
        if len(used) < 2:
            preprocessor = self.of(used[0] if used else domain)
            return preprocess(preprocessor, batch, training)
        rows: dict[int, tuple] = {}
        for name in used:
            own = [i for i, other in enumerate(names) if other == name]
            part = {key: [batch[key][i] for i in own] for key in batch}
            part = preprocess(self.of(name), part, training)
            found = zip(part['inputs'], part['data_samples'], strict=True)
            rows |= zip(own, found, strict=True)
        images, samples = zip(*(rows[i] for i in sorted(rows)), strict=True)
        if len({image.shape for image in images}) > 1:
            raise UserError(
                f'model.data_preprocessor.domains: {", ".join(used)} have '
                'images of different sizes in a batch, expected equal sizes, '
                'or one preprocessor for all'
            )
        return dict(inputs=torch.stack(images), data_samples=[*samples])


def padding_of(samples: list | None, like: Tensor) -> Tensor | None:
    """Find padding, bool (N, H, W); None if no image is padded.

    Args:
        samples: N `SegDataSample`, preprocessed; None if none is padded.
        like: Maps (..., H, W) of the size of the padded images.
    """
    sides = [sample.get('padding_size', (0,) * 4) for sample in samples or ()]
    if not any(map(any, sides)):
        return None
    height, width = like.shape[-2:]
    padding = like.new_ones(len(sides), height, width, dtype=torch.bool)
    for own, (left, right, top, bottom) in zip(padding, sides, strict=True):
        own[top : height - bottom, left : width - right] = False
    return padding


def hide_padding(maps: Tensor, padding: Tensor | None, value: int) -> Tensor:
    """Set maps (N, h, w) to a value in padding (N, H, W), if there is any."""
    if padding is None:
        return maps
    small = F.interpolate(padding[:, None].float(), maps.shape[-2:])
    return maps.masked_fill(small[:, 0] > 0, value)


def pad_maps(
    inputs: Tensor, data_samples: list[SegDataSample], name: str, value: int
) -> None:
    """Pad a map (1, H, W) of samples to the size of the images."""
    for sample in data_samples:
        if name not in sample:
            continue
        data = sample.get(name).data
        bottom, right = (
            inputs.size(axis) - data.size(axis) for axis in (-2, -1)
        )
        padded = F.pad(data, (0, right, 0, bottom), value=value)
        # mmengine refuses to change the size of a map in place.
        setattr(sample, name, PixelData(data=padded))


# mmsegmentation 1.2.2 and its successor name this differently.
CONVERSIONS = ('_channel_conversion', 'channel_conversion')


def converts_bgr_to_rgb(preprocessor: SegDataPreProcessor) -> bool:
    """Return whether a preprocessor swaps BGR and RGB."""
    return any(getattr(preprocessor, name, False) for name in CONVERSIONS)


def preprocess(
    preprocessor: BaseDataPreprocessor, batch: dict, training: bool
) -> dict:
    """Preprocess a batch of one domain without waiting for a GPU.

    mmseg swaps channels with an index list, which torch copies to the device
    synchronously; a flip gives the same result.
    """
    preprocessor._non_blocking = True
    if not converts_bgr_to_rgb(preprocessor):
        return _padded(preprocessor(batch, training), preprocessor)
    batch = preprocessor.cast_data(batch)
    batch['inputs'] = [
        image.flip(0) if image.size(0) == 3 else image
        for image in batch['inputs']
    ]
    [name] = (name for name in CONVERSIONS if hasattr(preprocessor, name))
    setattr(preprocessor, name, False)
    try:
        return _padded(preprocessor(batch, training), preprocessor)
    finally:
        setattr(preprocessor, name, True)


class Pinnable:
    """A batch that a `DataLoader` pins as a whole.

    torch lets what is no mapping or sequence pin itself, but passes on
    mmengine's samples as they are, with their labels.

    Args:
        batch: As collated.
    """

    def __init__(self, batch: Any) -> None:
        self.batch = batch

    def pin_memory(self) -> Any:
        """Return the batch itself, pinned."""
        return pin(self.batch)


def collate_pinnable(collate: Callable[[list], Any], samples: list) -> Any:
    """Collate samples to a `Pinnable`."""
    return Pinnable(collate(samples))


def pin(batch: Any) -> Any:
    """Copy a batch to memory that a GPU reads while the host goes on.

    From other memory even a non-blocking copy lets the host wait.
    """
    if isinstance(batch, dict):
        return {key: pin(value) for key, value in batch.items()}
    if isinstance(batch, list):
        return [pin(value) for value in batch]
    if isinstance(batch, BaseDataElement):
        return batch.new(**{key: pin(value) for key, value in batch.items()})
    return batch.pin_memory() if isinstance(batch, Tensor) else batch


def _padded(batch: dict, preprocessor: SegDataPreProcessor) -> dict:
    if batch.get('data_samples') is not None:
        void = preprocessor.seg_pad_val
        pad_maps(**batch, name='pseudo_sem_seg', value=void)
        pad_maps(**batch, name='trusted', value=0)
    return batch
