# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Read files of ``torch.save`` that strangers made."""

from __future__ import annotations

import codecs
import re
from pathlib import Path
from typing import Any

import numpy as np
import torch


class Inert:
    """What a file may ask for and does not get."""

    def __new__(cls, *_: Any) -> Inert:
        """Take anything and do nothing with it."""
        return super().__new__(cls)


# The functions that rebuild NumPy's arrays and scalars from a pickle.
REBUILDERS = (np.zeros(1).__reduce__()[0], np.float64().__reduce__()[0])
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
    *(type(np.dtype(code)) for code in ('f4', 'f8', 'i4', 'i8')),
    codecs.encode,
    # The log in a checkpoint of mmengine: it is let be, and nothing of it
    # called.
    (Inert, 'mmengine.logging.history_buffer.HistoryBuffer'),
    (Inert, 'builtins.getattr'),
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
