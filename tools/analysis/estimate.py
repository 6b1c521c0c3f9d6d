# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Estimate the memory and time of a run before renting a GPU for it.

    python tools/analysis/estimate.py CONFIG --gpus 4 --tflops 100

runs real training steps of the config on the CPU with random images: two and
four crops, at half the side length if they are large. PyTorch's profiler
measures the peak memory, its counter the FLOPs. Both are extrapolated to the
config's batch: memory grows linearly with the pixels; FLOPs too, but
quadratically in attention. Workspaces of GPU libraries are not included.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from rich.console import Console
from rich.table import Table
from torch import nn
from torch.profiler import ProfilerActivity, profile
from torch.utils.flop_counter import (
    FlopCounterMode,
    conv_flop_count,
    sdpa_backward_flop_count,
    sdpa_flop_count,
)

aten = torch.ops.aten


def count_convolution_backward(
    grad: torch.Size,
    images: torch.Size,
    weight: torch.Size,
    *args: object,
    out_shape: object = None,
) -> int:
    """Count the gradients of a convolution, each as many as it takes itself.

    torch's counter counts those of a grouped one as if it were not grouped.
    """
    *_, is_transposed, _, _, wanted = args
    forward = conv_flop_count(images, weight, grad, is_transposed)
    return forward * sum(wanted[:2])


# Some FLOP counters do not know the CPU's attention kernel.
FORMULAS = {
    aten.convolution_backward: count_convolution_backward,
    aten._scaled_dot_product_flash_attention_for_cpu: (
        lambda q, k, v, *args, out_shape=None, **_: sdpa_flop_count(q, k, v)
    ),
    aten._scaled_dot_product_flash_attention_for_cpu_backward: (
        lambda grad, q, k, v, *args, out_shape=None, **_: (
            sdpa_backward_flop_count(grad, q, k, v)
        )
    ),
}
IMAGES = 2  # images of a probe: batch norm and mixing need more than one
LARGE = 512 * 512  # pixels above which crops are probed at half size


class Probe(NamedTuple):
    """Cost of a training step.

    Attributes:
        images: Images of the batch.
        size: Their height and width.
        memory: Peak of the step above the persistent memory, bytes.
        flops: Floating point operations; a multiply-add is two.
    """

    images: int
    size: tuple[int, int]
    memory: int
    flops: int

    @property
    def pixels(self) -> int:
        """Return the pixels of an image."""
        return self.size[0] * self.size[1]


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('config', help='config of the run')
    parser.add_argument('--gpus', type=int, default=1)
    parser.add_argument(
        '--tflops',
        type=float,
        default=100,
        help='training throughput of a GPU, in TFLOP/s',
    )
    parser.add_argument(
        '--size',
        type=int,
        nargs=2,
        metavar=('H', 'W'),
        help="image size, if the config's pipelines do not fix it",
    )
    parser.add_argument(
        '--measure',
        action='store_true',
        help='also run a step of the full batch here and compare',
    )
    parser.add_argument('--child', action='store_true', help=argparse.SUPPRESS)
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action='extend',
        metavar='KEY=VALUE',
        help='override settings: key.of.config=value ...',
    )
    return parser.parse_args()


def load_config(args: argparse.Namespace) -> Config:
    """Merge the config file with the command line; drop pretrained weights."""
    from mmseg_cag.launch.cfg_options import load_or_exit, merge_or_exit
    from mmseg_cag.launch.stages import walk

    cfg = load_or_exit(args.config)
    merge_or_exit(cfg, args.cfg_options)
    for part in walk(cfg.model):
        for key in ('init_cfg', 'pretrained'):
            if key in part:
                part[key] = None
    return cfg


def image_size(cfg: Config) -> tuple[int, int]:
    """Read the height and width of training images from the pipelines.

    Raises:
        UserError: They do not fix a size.
    """
    from mmseg_cag.errors import UserError
    from mmseg_cag.launch.stages import walk

    size = None
    for part in walk(cfg.train_dataloader.dataset):
        if 'crop_size' in part:
            return tuple(part.crop_size)
        if part.get('type') == 'Resize' and 'scale' in part:
            size = tuple(part.scale)[::-1]
    if size is None:
        raise UserError(
            'train_dataloader.dataset: no step of its pipelines fixes the '
            'size of images, expected --size H W'
        )
    return size


def random_batch(cfg: Config, images: int, size: tuple[int, int]) -> dict:
    """Make a random batch in the format of the datasets."""
    classes = cfg.model.decode_head.num_classes
    domains = cfg.train_dataloader.dataset.get('domains')
    generator = torch.Generator().manual_seed(0)

    def one() -> tuple[torch.Tensor, SegDataSample]:
        pixels = torch.randint(256, (3, *size), generator=generator)
        labels = torch.randint(
            classes, (1, 4, 4), generator=generator, dtype=torch.uint8
        )
        labels = nn.functional.interpolate(labels[None], size)[0]
        meta = dict(img_shape=size, ori_shape=size, pad_shape=size)
        sample = SegDataSample(metainfo=meta)
        sample.gt_sem_seg = PixelData(data=labels.long())
        sample.pseudo_sem_seg = PixelData(data=labels.long())
        return pixels.byte(), sample

    def batch() -> dict:
        inputs, samples = zip(*(one() for _ in range(images)), strict=True)
        return dict(inputs=list(inputs), data_samples=list(samples))

    if domains is None:
        return batch()
    parts = {name: batch() for name in domains}
    return {
        key: {name: part[key] for name, part in parts.items()}
        for key in ('inputs', 'data_samples')
    }


class Steps:
    """A config's model and optimizer, for steps on random images."""

    def __init__(self, cfg: Config) -> None:
        self.cfg = cfg
        self.model = MODELS.build(cfg.model)
        self.model.train()
        if hasattr(self.model, 'start_stage'):
            self.model.start_stage()
        wrapper = dict(cfg.optim_wrapper)
        if wrapper.get('type') == 'AmpOptimWrapper':
            wrapper.update(type='BFloat16OptimWrapper')
            wrapper.pop('loss_scale', None)
        self.optim = build_optim_wrapper(self.model, wrapper)

    def run(self, images: int, size: tuple[int, int]) -> None:
        """Run a step and free the gradients."""
        batch = random_batch(self.cfg, images, size)
        self.model.train_step(batch, self.optim)
        self.optim.zero_grad()

    def probe(self, images: int, size: tuple[int, int]) -> Probe:
        """Run a step; measure memory and FLOPs."""
        activities = [ProfilerActivity.CPU]
        counter = FlopCounterMode(display=False, custom_mapping=FORMULAS)
        with profile(activities=activities, profile_memory=True) as trace:
            with counter:
                self.run(images, size)
        flops = counter.get_total_flops()
        return Probe(images, size, peak_of(trace), flops)

    def estimate(self, images: int, size: tuple[int, int]) -> Probe:
        """Estimate the cost of a step on a batch."""
        divisor = 2 if size[0] * size[1] > LARGE else 1
        large = tuple(side // divisor for side in size)
        small = tuple(max(side // 2, 32) for side in large)
        self.run(IMAGES, small)  # the first step creates the optimizer's state
        few = self.probe(IMAGES, large)
        return carry_on(
            self.probe(IMAGES, small),
            few,
            self.probe(2 * IMAGES, large),
            Probe(images, size, 0, 0),
        )

    def kept(self) -> dict[str, int]:
        """Count the bytes held between steps."""
        model = {
            p.untyped_storage().data_ptr(): p.untyped_storage().nbytes()
            for p in self.model.state_dict(keep_vars=True).values()
        }
        optims = getattr(self.optim, 'optim_wrappers', None)
        optims = optims.values() if optims else [self.optim]
        state = sum(
            value.numel() * value.element_size()
            for optim in optims
            for values in optim.optimizer.state.values()
            for value in values.values()
            if isinstance(value, torch.Tensor)
        )
        return dict(weights=sum(model.values()), optimizer=state)


def peak_of(trace: profile) -> int:
    """Compute the peak of the allocated memory, bytes."""
    events = sorted(
        (event.start_ns(), event.nbytes())
        for event in trace.profiler.kineto_results.events()
        if event.name() == '[memory]'
    )
    sizes = np.cumsum([size for _, size in events] or [0])
    return int(sizes.max())


def carry_on(small: Probe, few: Probe, more: Probe, whole: Probe) -> Probe:
    """Extrapolate the cost of a batch from smaller ones.

    Args:
        small: A few small images.
        few: The same number of larger images.
        more: More of the larger images.
        whole: The full batch.
    """
    areas = [p.images * p.pixels for p in (few, more, whole)]
    slope = (more.memory - few.memory) / (areas[1] - areas[0])
    memory = few.memory + slope * (areas[2] - areas[0])
    # FLOPs per pixel: a + b p in an image of p pixels.
    each = [p.flops / p.images / p.pixels for p in (small, few)]
    bend = (each[1] - each[0]) / (few.pixels - small.pixels)
    flops = areas[2] * (each[1] + bend * (whole.pixels - few.pixels))
    return whole._replace(memory=int(memory), flops=int(flops))


def measure(args: argparse.Namespace) -> dict:
    """Run a step of the full batch in a fresh process."""
    command = [sys.executable, __file__, *sys.argv[1:], '--child']
    done = subprocess.run(  # noqa: S603
        command, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f'error: {done.stderr.strip().splitlines()[-1]}')
    return json.loads(done.stdout.splitlines()[-1])


def be_child(cfg: Config, images: int, size: tuple[int, int]) -> None:
    """Print the memory of a step, from PyTorch's counters and the system's.

    The second is the peak resident memory above its idle value: it includes
    libraries and the C library's heap beside the tensors.
    """
    steps = Steps(cfg)
    # Loads the libraries once and creates the optimizer's state.
    steps.run(IMAGES, (64, 64))
    pages = Path('/proc/self/statm').read_text().split()[1]
    idle = int(pages) * resource.getpagesize()
    for _ in range(2):
        steps.run(images, size)
    highest = highest_resident()
    kept = sum(steps.kept().values())
    probe = steps.probe(images, size)
    found = dict(
        memory=probe.memory + kept,
        resident=highest - idle + kept,
        flops=probe.flops,
    )
    print(json.dumps(found))


def highest_resident() -> int:
    """Read the peak resident memory of this process, bytes.

    ``getrusage`` would start from the parent process's peak.
    """
    for line in Path('/proc/self/status').read_text().splitlines():
        if line.startswith('VmHWM:'):
            return int(line.split()[1]) * 1024
    raise SystemExit('error: --measure needs Linux, /proc/self/status')


def show(cfg: Config, kept: dict, whole: Probe, args: object) -> dict:
    """Print the estimate."""
    from mmseg_cag.engine.loops import total_iters

    iters = total_iters(cfg.train_cfg)
    total = sum(kept.values()) + whole.memory
    hours = whole.flops * iters / (args.tflops * 1e12) / 3600
    table = Table('', 'estimate', title=f'{args.config}, on each GPU')
    for name, size in (
        ('weights, buffers, teachers', kept['weights']),
        ("optimizer's state", kept['optimizer']),
        ('activations and gradients, at their peak', whole.memory),
        ('together', total),
    ):
        table.add_row(name, f'{size / 2**30:.2f} GiB')
    table.add_row('a step', f'{whole.flops / 1e12:.2f} TFLOP')
    table.add_row(
        f'{iters} steps at {args.tflops:g} TFLOP/s', f'{hours:.1f} hours'
    )
    if args.gpus > 1:
        batch = whole.images * args.gpus
        table.add_row(
            f'the same on {args.gpus} GPUs',
            f'{batch} images a step: {hours / args.gpus:.1f} hours for as '
            'many images',
        )
    Console(markup=False).print(table)
    return dict(memory=total, flops=whole.flops)


def main() -> None:
    """Estimate, and measure if requested."""
    args = parse_args()
    cfg = load_config(args)
    # Imported after the config, which may select modules.
    from mmengine.registry import init_default_scope

    from mmseg_cag.errors import exit_on_user_error

    init_default_scope('mmseg')
    with exit_on_user_error():
        size = tuple(args.size) if args.size else image_size(cfg)
        images = cfg.train_dataloader.batch_size
        if args.child:
            be_child(cfg, images, size)
            return
        steps = Steps(cfg)
        whole = steps.estimate(images, size)
        estimate = show(cfg, steps.kept(), whole, args)
        if args.measure:
            found = measure(args)
            for key, of, unit in (
                ('memory', 'memory', 'GiB of tensors'),
                ('resident', 'memory', 'GiB resident'),
                ('flops', 'flops', 'TFLOP'),
            ):
                size = found[key] / (1e12 if key == 'flops' else 2**30)
                ratio = estimate[of] / found[key]
                print(f'{size:.2f} {unit} here: estimated {ratio:.2f} of it')


if __name__ == '__main__':
    main()
