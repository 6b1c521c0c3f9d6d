# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Checks of the installed OpenMMLab packages and the platform.

OpenMMLab's packages and their maintained successors, ``onedl-*``, have the
same import names. Either works; both together overwrite each other's files.
"""

from __future__ import annotations

import codecs
import locale
import os
import sys
from contextlib import suppress
from importlib import import_module
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from multiprocessing import get_context
from multiprocessing.context import BaseContext

# Import names and the packages that provide them.
PROVIDERS = {
    'mmcv': ('mmcv', 'onedl-mmcv'),
    'mmengine': ('mmengine', 'onedl-mmengine'),
    'mmseg': ('mmsegmentation', 'onedl-mmsegmentation'),
}


def require_one_stack() -> None:
    """Check that each package is installed from exactly one provider.

    Raises:
        ImportError: A package is missing or installed twice.
    """
    for name, packages in PROVIDERS.items():
        own, maintained = packages
        if find_spec(name) is None:
            raise ImportError(
                f'mmseg_cag needs {name}: pip install -r '
                'requirements/openmmlab.txt for the maintained packages, or '
                f"install OpenMMLab's own {own} (docs/stacks.md)"
            )
        if all(is_installed(package) for package in packages):
            raise ImportError(
                f'{name} is installed from two packages that overwrite each '
                f'other: pip uninstall {own} {maintained}, then reinstall one '
                'of them (docs/stacks.md)'
            )
    if find_spec('timm') is not None:
        require_fitting_torchvision()


def require_fitting_torchvision() -> None:
    """Check that torchvision, which mmseg imports with timm, can be imported.

    Raises:
        ImportError: It was built for another torch.
    """
    try:
        import_module('torchvision')
    except RuntimeError as error:
        raise ImportError(
            f'torchvision does not fit torch ({error}): timm needs a '
            'torchvision of the same build as torch; install it, or pip '
            'uninstall timm (docs/encoders.md)'
        ) from error
    except ImportError:  # mmseg then works without timm
        return


def can_import(name: str) -> bool:
    """Return whether a module exists and can be imported."""
    try:
        return find_spec(name) is not None
    except ImportError:
        return False


def is_installed(package: str) -> bool:
    """Return whether a package is installed."""
    try:
        distribution(package)
    except PackageNotFoundError:
        return False
    return True


def core_count() -> int:
    """Count the cores that this process may use; at least one."""
    if hasattr(os, 'sched_getaffinity'):  # Linux
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def process_context() -> BaseContext:
    """Choose the start method of worker processes: spawn on Windows."""
    return get_context(None if hasattr(os, 'fork') else 'spawn')


def write_utf8() -> None:
    """Write text as UTF-8 if the locale is ASCII.

    Python does the same, unless ``LC_ALL=C PYTHONUTF8=0`` disables it.
    """
    if codecs.lookup(locale.getpreferredencoding(False)).name != 'ascii':
        return
    with suppress(locale.Error):
        locale.setlocale(locale.LC_CTYPE, 'C.UTF-8')
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, 'reconfigure'):
            stream.reconfigure(encoding='utf-8', errors='backslashreplace')
