# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Export a trained network in several forms; evaluate and time each."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from mmengine.config import Config
from mmengine.evaluator import Evaluator
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmseg.models.segmentors import EncoderDecoder
from mmseg.registry import DATASETS
from onnxruntime import InferenceSession
from torch import Tensor

from mmseg_cag.analysis.runs.samples import spread
from mmseg_cag.engine.records.descent import data_in, inherited, unique
from mmseg_cag.errors import UserError
from mmseg_cag.fileio.atomic import atomic_path
from mmseg_cag.fileio.json_file import write_json
from mmseg_cag.inference.demo.network import load_network
from mmseg_cag.inference.export_onnx import (
    DeploymentModel,
    compare_onnx,
    export_onnx,
    note,
)
from mmseg_cag.inference.export_student import (
    student_checkpoint,
    student_config,
)
from mmseg_cag.progress import track
from mmseg_cag.workflows.pseudo_labels.target_images import target_images

from .quantise import quantise

# legend: N images, K classes, H W image

Logits = Callable[[Tensor], Tensor]


class Form(NamedTuple):
    """A form of a network and its cost.

    Attributes:
        name: Display name.
        miou: On the config's test set, percent; None without labels.
        ms: Median time per image.
        mb: Size on disk.
        peak_mb: Memory of a process that runs it, including libraries.
    """

    name: str
    miou: float | None
    ms: float
    mb: float
    peak_mb: float


def make_forms(
    cfg: Config, checkpoint: Path, folder: Path, calibration: int = 64
) -> list[Form]:
    """Export PyTorch, ONNX and INT8 forms of a network and measure them.

    Args:
        cfg: Its training config.
        checkpoint: Its checkpoint.
        folder: Output folder of ``student.*`` and ``forms.json``.
        calibration: Number of target images for INT8 calibration.

    Returns:
        The three forms.

    Raises:
        UserError: The checkpoint belongs to another network, the target has no
            images, or a file differs from PyTorch.
    """
    init_default_scope(cfg.get('default_scope', 'mmseg'))
    folder.mkdir(parents=True, exist_ok=True)
    stock, float_, int8 = (
        folder / f'student.{name}' for name in ('pth', 'onnx', 'int8.onnx')
    )
    config = stock.with_suffix('.py')
    write_stock(cfg, checkpoint, stock)
    network = load_network(stock, config).cpu()
    model = DeploymentModel(network)
    images = target_pixels(cfg, calibration)
    first = next(images)
    height, width = first.shape[-2:]
    stated = cfg.get('licences')
    descent = inherited(checkpoint, 'exported from', stated)
    with atomic_path(float_, '.onnx') as draft:
        export_onnx(model, draft, (height, width))
        note(draft, descent=descent)
        compare_onnx(model, draft, torch.from_numpy(first))
    with atomic_path(int8, '.onnx') as draft:
        quantise(float_, draft, target_pixels(cfg, calibration))
        descent += data_in(target_images(cfg), 'calibration of INT8', stated)
        note(draft, descent=unique(descent))
    size = [str(height), str(width)]
    found = []
    for name, path, logits, words in (
        ('PyTorch', stock, model, [str(config)]),
        ('ONNX', float_, session_logits(float_), []),
        ('ONNX, INT8', int8, session_logits(int8), []),
    ):
        miou = evaluate(cfg, network, logits, name)
        cost = measure(path, *size, *words)
        megabytes = path.stat().st_size / 1e6
        found.append(Form(name, miou, cost['ms'], megabytes, cost['peak_mb']))
    write_json(folder / 'forms.json', [form._asdict() for form in found])
    return found


def write_stock(cfg: Config, checkpoint: Path, path: Path) -> None:
    """Write the student as a stock mmseg checkpoint with its config."""
    content, exported = (
        student_checkpoint(cfg, checkpoint),
        student_config(cfg),
    )
    content['meta']['cfg'] = exported.pretty_text
    with atomic_path(path) as draft:
        torch.save(content, draft)
    path.with_suffix('.py').write_text(exported.pretty_text)


def target_pixels(cfg: Config, count: int) -> Iterator[np.ndarray]:
    """Load target training images (1, 3, H, W) at test size.

    Raises:
        UserError: They differ in size.
    """
    dataset = DATASETS.build(target_images(cfg))
    shape = None
    for index in spread(dataset, count):
        image = dataset[index]['inputs'][None].float().numpy()
        shape = shape or image.shape
        if image.shape != shape:
            raise UserError(
                f'{dataset.get_data_info(index)["img_path"]}: is tested at '
                f'{image.shape[2:]}, others at {shape[2:]}; expected one size'
            )
        yield image


def session_logits(path: Path) -> Logits:
    """Compute logits (N, K, H, W) of images by an ONNX file."""
    session = InferenceSession(path, providers=['CPUExecutionProvider'])

    def run(images: Tensor) -> Tensor:
        [logits] = session.run(['logits'], {'image': images.numpy()})
        return torch.from_numpy(logits)

    return run


@torch.no_grad()
def evaluate(
    cfg: Config, network: EncoderDecoder, logits: Logits, name: str
) -> float | None:
    """Compute the mIoU of a form in percent, by the config's metric.

    Args:
        cfg: The config; without a labelled test set, returns None.
        network: Resizes logits to the size of the images on disk.
        logits: Function that runs the form.
        name: Name shown as progress.
    """
    if not cfg.get('test_dataloader'):
        return None
    loader = cfg.test_dataloader.copy()
    loader.update(batch_size=1, num_workers=0, persistent_workers=False)
    loader = Runner.build_dataloader(loader, seed=0)
    metrics = cfg.test_evaluator
    metrics = metrics if isinstance(metrics, list) else [metrics]
    evaluator = Evaluator([of_classes(metric) for metric in metrics])
    evaluator.dataset_meta = loader.dataset.metainfo
    for batch in track(loader, name):
        images = torch.stack(batch['inputs']).float()
        samples = network.postprocess_result(
            logits(images), batch['data_samples']
        )
        evaluator.process(data_samples=samples, data_batch=batch)
    miou = evaluator.evaluate(len(loader.dataset)).get('mIoU')
    return None if miou is None else float(miou)


def of_classes(metric: dict) -> dict:
    """Replace a metric of unknown pixels, which no form predicts."""
    if metric['type'] != 'OpenSetIoUMetric':
        return metric
    own = ('target_only', 'source_only')
    kept = {key: value for key, value in metric.items() if key not in own}
    return {**kept, 'type': 'UDAIoUMetric'}


def measure(path: Path, *words: str) -> dict[str, float]:
    """Measure a form in a separate process.

    Raises:
        UserError: The process fails.
    """
    script = Path(__file__).with_name('cost.py')
    done = subprocess.run(  # noqa: S603
        [sys.executable, script, path, *words],
        capture_output=True,
        text=True,
        env={**os.environ, 'CUDA_VISIBLE_DEVICES': '', 'OMP_NUM_THREADS': '1'},
    )
    if done.returncode:
        *_, last = done.stderr.strip().splitlines() or ['no message']
        raise UserError(f'{path}: cannot be run ({last})')
    return json.loads(done.stdout.splitlines()[-1])
