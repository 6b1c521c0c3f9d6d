# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Describe the machine and code of a row."""

from __future__ import annotations

import hashlib
import os
import platform
import re
from functools import cache
from pathlib import Path

import mmengine
import mmseg
import numpy
import torch

import mmseg_cag

CPUINFO = Path('/proc/cpuinfo')


@cache
def processor() -> str:
    """Name the training device: the GPU, or else the CPU."""
    return torch.cuda.get_device_name() if torch.cuda.is_available() else cpu()


@cache
def cpu() -> str:
    """Name the CPU."""
    if CPUINFO.is_file():
        name = re.search(r'^model name\s*:\s*(.+)$', CPUINFO.read_text(), re.M)
        if name:
            return name[1]
    return platform.processor() or platform.machine()


def machine_class(device: str | None = None) -> str:
    """Name the kind of machine, as a folder of comparable results.

    Args:
        device: Name of the device that is measured; None for `processor`.
    """
    return slug(device or processor())


def slug(name: str) -> str:
    """Convert a name to lower case, digits and hyphens."""
    return re.sub('[^a-z0-9]+', '-', name.lower()).strip('-')


def describe(device: str | None = None) -> dict[str, dict]:
    """Describe machine and code as plain data.

    Args:
        device: Name of the device that is measured; None for `processor`.
    """
    return {
        'machine': {
            'class': machine_class(device),
            'processor': device or processor(),
            'cpu_cores': os.cpu_count(),
            'system': f'{platform.system()} {platform.machine()}',
        },
        'versions': {
            'python': platform.python_version(),
            'torch': torch.__version__,
            'numpy': numpy.__version__,
            'mmengine': mmengine.__version__,
            'mmseg': mmseg.__version__,
            'mmseg_cag': mmseg_cag.__version__,
            'code': code_hash(),
        },
    }


@cache
def code_hash() -> str:
    """Hash the package's sources, to detect rows of changed code."""
    package = Path(mmseg_cag.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(package.rglob('*.py')):
        digest.update(path.relative_to(package).as_posix().encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]
