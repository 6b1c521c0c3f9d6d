# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Read files of ``torch.save`` that strangers made."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.logging import HistoryBuffer

from mmseg_cag.errors import MissingFileError, UserError, printable

STATISTICS = ('min', 'max', 'current', 'mean')


def statistic(owner: type, name: str) -> Callable:
    """Stand in for the ``getattr`` that mmengine's checkpoints ask for.

    They refer to the methods of `HistoryBuffer` by it. ``getattr`` itself
    would give a stranger every attribute of everything that is allowed.
    """
    if owner is not HistoryBuffer or name not in STATISTICS:
        raise ValueError(f'GLOBAL builtins.getattr of {owner!r}, {name!r}')
    return getattr(owner, name)


# The functions that rebuild NumPy's arrays and scalars from a pickle.
REBUILDERS = (np.zeros(1).__reduce__()[0], np.float64().__reduce__()[0])
NUMBERS = '? i1 i2 i4 i8 u1 u2 u4 u8 f2 f4 f8'.split()
# What a pickle may call besides what PyTorch allows. NumPy 1 wrote another
# module name than NumPy 2.
ALLOWED = [
    *(
        (function, f'numpy.{core}.multiarray.{function.__name__}')
        for function in REBUILDERS
        for core in ('core', '_core')
    ),
    np.ndarray,
    np.dtype,
    *(type(np.dtype(code)) for code in NUMBERS),
    codecs.encode,
    # The curves in the message hub of mmengine's checkpoints.
    HistoryBuffer,
    (statistic, 'builtins.getattr'),
    (statistic, '__builtin__.getattr'),
]


def safe_load(
    path: str | Path,
    map_location: str | torch.device | None = 'cpu',
    mmap: bool | None = None,
) -> Any:
    """Load tensors, arrays and plain data, and nothing that can run code.

    Args:
        path: A file of ``torch.save``, of any PyTorch version.
        map_location: Where its tensors go.
        mmap: Whether tensors stay on disk until they are used.

    Raises:
        MissingFileError: If there is no such file.
        UserError: If the file asks for anything else or is no such file.
    """
    if not Path(path).is_file():
        raise MissingFileError(f'{path}: no such file')
    with refusing(path), torch.serialization.safe_globals(ALLOWED):
        return torch.load(path, map_location, mmap=mmap, weights_only=True)


def read_checkpoint(
    path: str | Path,
    map_location: str | torch.device | None = 'cpu',
    mmap: bool | None = None,
) -> dict:
    """Read a checkpoint of mmengine by `safe_load`.

    Raises:
        MissingFileError: If there is no such file.
        UserError: If it is no checkpoint or refused.
    """
    if not Path(path).is_file():
        raise MissingFileError(f'{path}: checkpoint not found')
    content = safe_load(path, map_location, mmap)
    weights = content.get('state_dict') if isinstance(content, dict) else None
    if not is_state_dict(weights):
        raise UserError(f'{path}: holds no state_dict, so is no checkpoint')
    return content


def is_state_dict(weights: object) -> bool:
    """Tell whether something is what networks save: tensors by name."""
    return isinstance(weights, dict) and all(
        isinstance(key, str) and isinstance(value, torch.Tensor)
        for key, value in weights.items()
    )


@contextmanager
def refusing(
    path: str | Path, kind: type[Exception] = Exception
) -> Iterator[None]:
    """Turn what PyTorch raises as it reads a file into one line.

    Args:
        path: The file.
        kind: What is turned. Bytes that are not a pickle make the reader fail
            in any way at all.

    Raises:
        UserError: The file asks for something, or cannot be read.
    """
    try:
        yield
    except kind as error:
        culprit = re.search(r'GLOBAL (\S+)', str(error))
        cause = 'is unreadable'
        if culprit:
            cause = (
                f'asks for {printable(culprit[1])}, which may run code '
                '(docs/safety.md says how to convert it)'
            )
        raise UserError(
            f'{path}: refused, it {cause}; expected a file of torch.save '
            'with tensors, arrays and plain data only'
        ) from error
