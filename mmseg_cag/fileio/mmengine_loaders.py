# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""mmengine's checkpoint loaders, with no code of strangers run.

mmengine 0.10.7 cannot read its own checkpoints under torch >= 2.6; its
continuation runs what it finds after a warning. Here both read what
`safe_load` allows, wherever mmengine loads: to resume, to test, for
pretrained weights.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pickle import UnpicklingError
from typing import Any

import torch
from mmengine.runner import CheckpointLoader

from mmseg_cag.errors import UserError

from .safe_load import ALLOWED, refusing, safe_load

Loader = Callable[..., Any]
Device = str | torch.device | None
# What PyTorch reads at each load. The first overrules the caller; PyTorch
# refuses to load where both are set.
SAFE, UNSAFE = (
    'TORCH_FORCE_WEIGHTS_ONLY_LOAD',
    'TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD',
)


def load_from_local(filename: str, map_location: Device = None) -> dict:
    """Load a checkpoint, or bare weights, from a disk.

    Raises:
        MissingFileError: There is no such file.
        UserError: It asks to run code, or is no checkpoint.
    """
    path = os.path.expanduser(filename)
    checkpoint = safe_load(path, map_location)
    if not isinstance(checkpoint, dict):
        raise UserError(
            f'{path}: holds a {type(checkpoint).__name__}, expected a '
            'checkpoint, a dict with the weights'
        )
    return checkpoint


def load_safely(loader: Loader) -> Loader:
    """Let a loader of mmengine read tensors and plain data alone."""

    @wraps(loader)
    def load(filename: str, *args: Any, **kwargs: Any) -> Any:
        with refusing(filename, UnpicklingError), weights_only():
            return loader(filename, *args, **kwargs)

    return load


@contextmanager
def weights_only() -> Iterator[None]:
    """Refuse code in every file that PyTorch loads meanwhile."""
    before = {name: os.environ.pop(name, None) for name in (SAFE, UNSAFE)}
    os.environ[SAFE] = '1'
    try:
        with torch.serialization.safe_globals(ALLOWED):
            yield
    finally:
        del os.environ[SAFE]
        os.environ.update({k: v for k, v in before.items() if v is not None})


def register_safe_loaders() -> None:
    """Put the loaders in mmengine's place, once."""
    for prefix, loader in list(CheckpointLoader._schemes.items()):
        if not hasattr(loader, '__wrapped__') and prefix:
            safe = load_safely(loader)
            CheckpointLoader.register_scheme(prefix, safe, force=True)
    CheckpointLoader.register_scheme('', load_from_local, force=True)
