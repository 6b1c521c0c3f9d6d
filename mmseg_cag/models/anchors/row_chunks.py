# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

# legend: N images, C feature channels, h w feature map

# Numbers of a band: 4 MB in float32, which a processor's caches hold.
CACHED = 2**20
# A GPU's time goes into launches, so there the bands only bound the memory.
LAUNCHED = 2**24


def split_bands(
    feat: Tensor, *others: Tensor, most: int | None = None
) -> Iterator[tuple[Tensor, ...]]:
    """Cut maps into bands of rows, over all images at once.

    What is derived from a band stays in the cache, and takes the memory of a
    band, where that of the whole map would be written out and read again.

    Args:
        feat: Features (N, C, h, w), whose size decides on that of a band.
        *others: Further maps (..., h, w) that are cut alike.
        most: Pixels of an image that a band has at most, but for those of a
            single row; None for any number.

    Yields:
        The band of each map, as views.
    """
    limit = CACHED if feat.is_cpu else LAUNCHED
    n, c, _, w = feat.shape
    rows = limit // max(n * c * w, 1)
    if most is not None:
        rows = min(rows, most // w)
    rows = max(rows, 1)
    yield from zip(
        *(part.split(rows, dim=-2) for part in (feat, *others)), strict=True
    )
