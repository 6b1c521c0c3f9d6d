# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""(a) Versions, the card, and what it reaches: bytes and products a second."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from contextlib import suppress
from functools import cache
from importlib import import_module

import torch

from gpu_day.precision import allow_tf32
from gpu_day.setup import GIB, NotHereError, Setup, explain, require_gpu

MODULES = ('torch', 'triton', 'numpy', 'cv2', 'PIL', 'mmengine', 'mmcv',
           'mmseg', 'mmseg_cag')  # fmt: skip
# Product of square matrices: their side, and name, dtype and whether TF32 is
# allowed.
SIDES = (8192, 64)
PRODUCTS = (
    ('fp32', torch.float32, False),
    ('TF32', torch.float32, True),
    ('bf16', torch.bfloat16, False),
    ('fp16', torch.float16, False),
)
# Largest relative error of a product, by its name.
ERRORS = {'fp32': 1e-5, 'TF32': 2e-3, 'bf16': 1e-2, 'fp16': 2e-3}
COPY_BYTES = (2 * GIB, 2**20)


@cache
def identify(device: str) -> dict:
    """Read versions and, if it works, the GPU.

    Args:
        device: ``cuda``, or ``cpu`` without a GPU.
    """
    found: dict = dict(
        date=time.strftime('%Y-%m-%d'),
        python=platform.python_version(),
        cores=os.cpu_count(),
        memory_gib=os.sysconf('SC_PAGE_SIZE')
        * os.sysconf('SC_PHYS_PAGES')
        / GIB,
        versions={name: version_of(name) for name in MODULES},
        cuda=torch.version.cuda,
        device=device,
    )
    if device == 'cuda':
        with suppress(NotHereError):
            require_gpu(0)
            found |= read_card()
    return found


def measure(setup: Setup) -> dict:
    """Read versions and GPU; time a copy and products."""
    found = dict(identify(setup.device))
    setup.save(found)
    if setup.device == 'cuda':
        require_gpu(1)
    found['copy_gb_s'] = time_copy(setup)
    found['products'] = {}
    for name, dtype, tf32 in PRODUCTS:
        found['products'][name] = time_product(setup, dtype, tf32)
        setup.save(found)
    return found


def check(results: dict, rehearse: bool) -> list[str]:
    """Find results that a working GPU cannot give."""
    faults = []
    if results.get('copy_gb_s', 0) <= 0:
        faults.append('no speed of a copy')
    for name, limit in ERRORS.items():
        error = results['products'].get(name, {}).get('error', float('nan'))
        if not error < limit:
            faults.append(f'product in {name}: error {error:.1e} of {limit}')
    for name, told in sorted(results['versions'].items()):
        # No version has a space; triton is of GPUs.
        if ' ' in told and not (rehearse and name == 'triton'):
            faults.append(told if name in told else f'{name}: {told}')
    return faults


def version_of(name: str) -> str:
    """Return a module's version, or a line why there is none."""
    try:
        return str(getattr(import_module(name), '__version__', '?'))
    except Exception as error:
        return explain(error)


def read_card() -> dict:
    """Read the GPU's name, memory and driver."""
    card = torch.cuda.get_device_properties(0)
    try:
        query = ['--query-gpu=driver_version', '--format=csv,noheader']
        driver = subprocess.run(  # noqa: S603
            ['nvidia-smi', *query],  # noqa: S607
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError) as error:
        driver = explain(error)
    return dict(
        card=card.name,
        card_gib=card.total_memory / GIB,
        multiprocessors=card.multi_processor_count,
        capability=f'{card.major}.{card.minor}',
        driver=driver,
        cudnn=torch.backends.cudnn.version(),
        nccl='.'.join(map(str, torch.cuda.nccl.version())),
        architectures=torch.cuda.get_arch_list(),
    )


def time_copy(setup: Setup) -> float:
    """Measure the copy bandwidth, GB/s, reads plus writes."""
    number = setup.choose(*COPY_BYTES)
    source = torch.ones(number, dtype=torch.uint8, device=setup.device)
    target = torch.empty_like(source)
    least = least_seconds(lambda: target.copy_(source), setup.device)
    return 2 * number / least / 1e9


def time_product(setup: Setup, dtype: torch.dtype, tf32: bool) -> dict:
    """Measure a random matrix product: operations per second and error."""
    side = setup.choose(*SIDES)
    generator = torch.Generator(setup.device).manual_seed(0)
    a, b = (
        torch.randn(
            side, side, generator=generator, device=setup.device
        ).to(dtype)
        for _ in range(2)
    )  # fmt: skip
    with allow_tf32(tf32):
        least = least_seconds(lambda: a @ b, setup.device)
        rows = (a[:16] @ b).double()
    exact = a[:16].double() @ b.double()
    error = (rows - exact).norm() / exact.norm()
    return dict(tflops=2 * side**3 / least / 1e12, error=error.item())


def least_seconds(function: object, device: str, calls: int = 6) -> float:
    """Time calls one by one; returns the minimum."""
    times = []
    for _ in range(calls):
        if device == 'cuda':
            torch.cuda.synchronize()
        start = time.perf_counter()
        function()
        if device == 'cuda':
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return min(times)
