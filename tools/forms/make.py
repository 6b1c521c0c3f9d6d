# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Export a trained network in several forms; evaluate and time each."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnxruntime
import torch
from benchmarks.rows.machine import cpu, describe
from mmengine.config import Config
from mmengine.evaluator import Evaluator
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmseg.models.segmentors import EncoderDecoder
from mmseg.registry import DATASETS
from torch import Tensor

from mmseg_cag.analysis.runs.samples import build_dataset, read_samples
from mmseg_cag.datasets.dataset_configs import spread
from mmseg_cag.datasets.inspection.dataset_inputs import (
    DatasetInput,
    dataset_inputs,
)
from mmseg_cag.datasets.inspection.headers import read_header
from mmseg_cag.datasets.skip_bad_files import one_line
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
            images, images differ in size, or a file differs from PyTorch.
    """
    init_default_scope(cfg.get('default_scope', 'mmseg'))
    require_one_size(cfg)
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
        data = target_images(cfg, pooled=True)
        descent += data_in(data, 'calibration of INT8', stated)
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
    told = describe(cpu())
    told['versions']['onnxruntime'] = onnxruntime.__version__
    forms = [form._asdict() for form in found]
    content = {'forms': forms, 'date': str(date.today()), **told}
    write_json(folder / 'forms.json', content)
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
    """Load target training images (1, 3, H, W) at test size."""
    dataset = DATASETS.build(target_images(cfg, pooled=True))
    for index in spread(dataset, count):
        yield dataset[index]['inputs'][None].float().numpy()


def require_one_size(cfg: Config) -> None:
    """Check that calibration and test images enter a network at one size.

    ONNX files take one size. Reads all headers, and an image of each size on
    disk.

    Raises:
        MissingFileError: A folder does not exist.
        UserError: Sizes differ, or an image cannot be read.
    """
    keys = {'the target': target_images(cfg, pooled=True)}
    if cfg.get('test_dataloader'):
        key = 'test_dataloader.dataset'
        keys[key] = cfg.test_dataloader.get('dataset')
    sizes: dict[tuple[int, ...], str] = {}
    for key, part in keys.items():
        for reading in dataset_inputs(build_dataset(part, key), key, 'test'):
            indices = one_of_each_size(reading)
            samples = read_samples(reading.dataset, indices)
            for index, sample in zip(indices, samples, strict=True):
                path = reading.samples[index]['img_path']
                sizes.setdefault(tuple(sample.image.shape[1:]), path)
    if len(sizes) > 1:
        (one, first), (two, second), *_ = sizes.items()
        raise UserError(
            f'{second}: is tested at {two}, but {first} at {one}; expected '
            'one size'
        )


def one_of_each_size(reading: DatasetInput) -> list[int]:
    """List the index of an image of each size on disk.

    Raises:
        UserError: An image cannot be read.
    """
    indices: dict[tuple[int, int], int] = {}
    for index, sample in enumerate(reading.samples):
        path, backend = sample['img_path'], reading.dataset.backend_args
        try:
            indices.setdefault(read_header(path, backend).size, index)
        except (OSError, SyntaxError) as error:
            raise UserError(f'{path}: {one_line(error)}') from error
    return [*indices.values()]


def session_logits(path: Path) -> Logits:
    """Compute logits (N, K, H, W) of images by an ONNX file."""
    session = onnxruntime.InferenceSession(
        path, providers=['CPUExecutionProvider']
    )

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
