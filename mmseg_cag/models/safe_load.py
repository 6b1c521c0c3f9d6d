# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Read files of ``torch.save`` that strangers made."""

from __future__ import annotations

import codecs
import re
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mmseg_cag.errors import MissingFileError, UserError

# The functions that rebuild NumPy's arrays and scalars from a pickle.
REBUILDERS = (np.zeros(1).__reduce__()[0], np.float64().__reduce__()[0])


class LogHistory:
    """Holds what a run logged, in the place of mmengine's `HistoryBuffer`."""


def method_name(owner: type, name: str) -> str:
    """Stand in for `getattr`, by which a history names its statistics."""
    return name


# What a pickle may call besides what PyTorch allows. NumPy 1 wrote another
# module name than NumPy 2. A run's history is read by two stand-ins that do
# nothing.
ALLOWED = [
    (LogHistory, 'mmengine.logging.history_buffer.HistoryBuffer'),
    (method_name, 'builtins.getattr'),
    (method_name, '__builtin__.getattr'),
    *(
        (function, f'numpy.{core}.multiarray.{function.__name__}')
        for function in REBUILDERS
        for core in ('core', '_core')
    ),
    np.ndarray,
    np.dtype,
    *(type(np.dtype(code)) for code in ('f4', 'f8', 'i4', 'i8')),
    codecs.encode,
]


def safe_load(path: str | Path) -> Any:
    """Load tensors, arrays and plain data, and nothing that can run code.

    Args:
        path: A file of ``torch.save``, of any PyTorch version.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file asks for anything else or is no such file.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f'{path}: no such file')
    try:
        with torch.serialization.safe_globals(ALLOWED):
            return torch.load(path, map_location='cpu', weights_only=True)
    # Bytes that are not a pickle make the reader fail in any way at all.
    except Exception as error:
        culprit = re.search(r'GLOBAL (\S+)', str(error))
        cause = f'asks for {culprit[1]}' if culprit else 'is unreadable'
        raise ValueError(
            f'{path}: refused, it {cause}; expected a file of torch.save '
            'with tensors, arrays and plain data only'
        ) from error


def read_checkpoint(path: str | Path) -> dict:
    """Read a checkpoint of mmengine by `safe_load`.

    Raises:
        MissingFileError: If there is no such file.
        UserError: If it is no checkpoint or refused.
    """
    if not Path(path).is_file():
        raise MissingFileError(f'{path}: checkpoint not found')
    try:
        content = safe_load(path)
    except ValueError as error:
        raise UserError(str(error)) from error
    if not isinstance(content, dict) or 'state_dict' not in content:
        raise UserError(f'{path}: holds no state_dict, so is no checkpoint')
    return content
