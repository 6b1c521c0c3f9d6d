# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Read the anchor files of the CAG release."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmseg_cag.errors import UserError
from mmseg_cag.fileio.safe_load import safe_load

# legend: K classes, C feature channels

RELEASED = ('objective_vectors', 'objective_num')
IMPORTED = ('anchors', 'counts')


def read_category_anchors(path: str | Path) -> tuple[Tensor, Tensor]:
    """Read anchors (K, C) and counts (K,), both float32.

    The release trains from a dict of ``objective_vectors`` and
    ``objective_num``, but its anchor script writes bare vectors without
    counts. For these the count is 1 for a class with an anchor and 0 for a
    zero vector, a class that never occurred. Files written by
    ``import_anchors.py`` are accepted, too.

    Args:
        path: The file.

    Raises:
        MissingFileError: If there is no such file.
        UserError: If the file has other content or is not safe to load.

    Source: CAG-UDA as released, ``cac.py`` and ``train.py``.
    """
    content = safe_load(path)
    if isinstance(content, dict):
        names = IMPORTED if 'anchors' in content else RELEASED
        if missing := set(names) - content.keys():
            raise UserError(f'{path}: expected the key {min(missing)!r}')
        anchors, counts = (_numbers(path, content[name]) for name in names)
    else:
        anchors = _numbers(path, content)
        counts = anchors.any(axis=-1)
    if anchors.ndim != 2 or counts.shape != anchors.shape[:1]:
        raise UserError(
            f'{path}: expected anchors (K, C) and counts (K,), '
            f'got {anchors.shape} and {counts.shape}'
        )
    if not np.isfinite(anchors).all() or not (counts >= 0).all():
        raise UserError(
            f'{path}: expected finite anchors and non-negative counts'
        )
    return torch.from_numpy(anchors).float(), torch.from_numpy(counts).float()


def _numbers(path: str | Path, value: Any) -> np.ndarray:
    try:
        return np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise UserError(
            f'{path}: expected an array of numbers, got {type(value).__name__}'
        ) from error
