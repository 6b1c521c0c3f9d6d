# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Measure time and peak memory of one form of a network in a process.

    python tools/forms/cost.py student.onnx 128 256
    python tools/forms/cost.py student.pth 128 256 student.py

prints JSON. Uses one thread and imports only what the form needs.
"""

from __future__ import annotations

import json
import re
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np

WARM, TIMED = 5, 30


def onnx_form(path: str) -> Callable[[np.ndarray], object]:
    """Open an ONNX file on one thread of the CPU."""
    from onnxruntime import InferenceSession, SessionOptions

    options = SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = InferenceSession(
        path, options, providers=['CPUExecutionProvider']
    )
    return lambda image: session.run(['logits'], {'image': image})


def torch_form(checkpoint: str, config: str) -> Callable[[np.ndarray], object]:
    """Build the network in PyTorch, on one thread of the CPU."""
    import torch

    from mmseg_cag.inference.demo.network import load_network
    from mmseg_cag.inference.export_onnx import DeploymentModel

    torch.set_num_threads(1)
    network = load_network(Path(checkpoint), Path(config)).cpu()
    model = DeploymentModel(network)
    return torch.no_grad()(lambda image: model(torch.from_numpy(image)))


def peak_memory() -> float:
    """Read the peak memory of this process, MB."""
    status = Path('/proc/self/status')
    if status.is_file():
        # Not ru_maxrss: that starts from the parent's peak.
        [line] = re.findall(r'VmHWM:\s*(\d+) kB', status.read_text())
        return int(line) * 1024 / 1e6
    unit = 1 if sys.platform == 'darwin' else 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * unit / 1e6


def main() -> None:
    """Measure the form named on the command line."""
    path, height, width, *config = sys.argv[1:]
    run = torch_form(path, *config) if config else onnx_form(path)
    shape = (1, 3, int(height), int(width))
    image = np.random.default_rng(0).integers(0, 256, shape)
    image = image.astype(np.float32)
    for _ in range(WARM):
        run(image)
    times = []
    for _ in range(TIMED):
        begun = time.perf_counter()
        run(image)
        times.append(time.perf_counter() - begun)
    print(json.dumps({'ms': 1000 * median(times), 'peak_mb': peak_memory()}))


if __name__ == '__main__':
    main()
