# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Loading of untrusted ``torch.save`` files without running code.

mmengine 0.10.7 cannot read its own checkpoints under torch >= 2.6; its
successor runs any code after a warning. Here both read only what
`read_checkpoint` allows wherever mmengine loads: to resume, to test, and for
pretrained weights.
"""

from __future__ import annotations

import codecs
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch
from mmengine.logging import HistoryBuffer
from mmengine.runner import CheckpointLoader

from mmseg_cag.errors import MissingFileError, UserError, escape_control_chars

STATISTICS = ('min', 'max', 'current', 'mean')


def statistic(owner: type, name: str) -> Callable:
    """Restricted ``getattr`` for mmengine's checkpoints.

    They use it to refer to methods of `HistoryBuffer`. The real ``getattr``
    would expose every attribute of everything allowed.
    """
    if owner is not HistoryBuffer or name not in STATISTICS:
        raise ValueError(f'GLOBAL builtins.getattr of {owner!r}, {name!r}')
    return getattr(owner, name)


# Functions that rebuild NumPy arrays and scalars from a pickle.
REBUILDERS = (np.zeros(1).__reduce__()[0], np.float64().__reduce__()[0])
NUMBERS = '? i1 i2 i4 i8 u1 u2 u4 u8 f2 f4 f8'.split()
# Functions that a pickle may call in addition to PyTorch's. NumPy 1 and NumPy
# 2 use different module names.
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
    """Load tensors, arrays and plain data only.

    Args:
        path: A file of ``torch.save``, of any PyTorch version.
        map_location: Device of the tensors.
        mmap: Whether to memory-map tensors.

    Raises:
        MissingFileError: If there is no such file.
        UserError: If the file contains anything else or has another format.
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
    """Read an mmengine checkpoint with `safe_load`.

    Raises:
        MissingFileError: If there is no such file.
        UserError: If it is not a checkpoint or refused.
    """
    if not Path(path).is_file():
        raise MissingFileError(f'{path}: checkpoint not found')
    content = without_wrappers(safe_load(path, map_location, mmap))
    weights = content.get('state_dict') if isinstance(content, dict) else None
    if not is_state_dict(weights):
        raise UserError(
            f'{path}: has no state_dict, so it is not a checkpoint'
        )
    return content


# Prefixes of weights saved from wrapped networks.
WRAPPERS = re.compile(r'(module\.|_orig_mod\.)+')


def without_wrappers(content: Any) -> Any:
    """Remove wrapper prefixes if all weights have them.

    Args:
        content: A checkpoint or plain weights; anything else is unchanged.
    """
    if not isinstance(content, dict):
        return content
    weights = content.get('state_dict', content)
    if not isinstance(weights, dict) or not all(
        isinstance(key, str) and WRAPPERS.match(key) for key in weights
    ):
        return content
    bare = {WRAPPERS.sub('', k, 1): value for k, value in weights.items()}
    return bare if weights is content else {**content, 'state_dict': bare}


def is_state_dict(weights: object) -> bool:
    """Return whether an object is a state dict: tensors by name."""
    return isinstance(weights, dict) and all(
        isinstance(key, str) and isinstance(value, torch.Tensor)
        for key, value in weights.items()
    )


@contextmanager
def refusing(
    path: str | Path, kind: type[Exception] = Exception
) -> Iterator[None]:
    """Turn PyTorch's loading errors into one line.

    Args:
        path: The file.
        kind: Exceptions to convert. Bytes that are not a pickle can raise
            anything.

    Raises:
        UserError: The file asks for code, or cannot be read.
    """
    try:
        yield
    except kind as error:
        culprit = re.search(r'GLOBAL (\S+)', str(error))
        cause = 'is unreadable'
        if culprit:
            cause = (
                f'asks for {escape_control_chars(culprit[1])}, which may run '
                'code (docs/safety.md says how to convert it)'
            )
        raise UserError(
            f'{path}: refused, it {cause}; expected a file of torch.save '
            'with tensors, arrays and plain data only'
        ) from error


Loader = Callable[..., Any]
Device = str | torch.device | None
# Variables PyTorch reads at each load. The first overrides the caller; PyTorch
# refuses to load if both are set.
SAFE, UNSAFE = (
    'TORCH_FORCE_WEIGHTS_ONLY_LOAD',
    'TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD',
)


def load_from_local(filename: str, map_location: Device = None) -> dict:
    """Load a checkpoint or plain weights from disk.

    Raises:
        MissingFileError: There is no such file.
        UserError: It asks to run code or is not a checkpoint.
    """
    path = os.path.expanduser(filename)
    checkpoint = without_wrappers(safe_load(path, map_location))
    if not isinstance(checkpoint, dict):
        raise UserError(
            f'{path}: holds a {type(checkpoint).__name__}, expected a '
            'checkpoint, a dict with the weights'
        )
    return checkpoint


def load_safely(loader: Loader) -> Loader:
    """Restrict an mmengine loader to tensors and plain data."""

    @wraps(loader)
    def load(filename: str, *args: Any, **kwargs: Any) -> Any:
        with refusing(filename, UnpicklingError), weights_only():
            return loader(filename, *args, **kwargs)

    return load


@contextmanager
def weights_only() -> Iterator[None]:
    """Force ``weights_only`` loading inside the context."""
    before = {name: os.environ.pop(name, None) for name in (SAFE, UNSAFE)}
    os.environ[SAFE] = '1'
    try:
        with torch.serialization.safe_globals(ALLOWED):
            yield
    finally:
        del os.environ[SAFE]
        os.environ.update({k: v for k, v in before.items() if v is not None})


def register_safe_loaders() -> None:
    """Replace mmengine's loaders, once."""
    for prefix, loader in list(CheckpointLoader._schemes.items()):
        if not hasattr(loader, '__wrapped__') and prefix:
            safe = load_safely(loader)
            CheckpointLoader.register_scheme(prefix, safe, force=True)
    CheckpointLoader.register_scheme('', load_from_local, force=True)


def require_same_tensors(expected: dict, found: dict, where: str) -> None:
    """Check that a file's tensors have the expected names and shapes.

    Raises:
        UserError: They differ; ``where`` is the beginning of the message.
    """
    wrong = sorted(
        key
        for key in expected.keys() | found.keys()
        if key not in expected
        or key not in found
        or expected[key].shape != found[key].shape
    )
    if wrong:
        raise UserError(
            f'{where} {len(wrong)} tensors differ, the first is {wrong[0]}'
        )
