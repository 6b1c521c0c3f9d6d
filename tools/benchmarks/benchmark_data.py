# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Measure the cost of loading a training sample, per core.

    python tools/benchmarks/benchmark_data.py --doc docs/input_speed.md

draws frames of GTA5's and Cityscapes' size and runs the training pipelines of
``uda_gta2cs_896x512.py`` in three forms, interleaved in one process with one
thread: with mmseg's transforms, unchanged, and with a full cache.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
import PIL
import torch
from document import describe_machine, put_results
from input_speed.frames import draw_frames
from input_speed.pipelines import make_pipelines
from input_speed.steps import time_pipelines
from input_speed.windows import compare_windows
from mmengine.config import Config
from mmseg.registry import TRANSFORMS
from mmseg.utils import register_all_modules
from rich.console import Console
from rich.table import Table

from mmseg_cag.errors import exit_on_user_error
from mmseg_cag.minitown.runs import ROOT

CONFIG = ROOT / 'configs/_base_/datasets/uda_gta2cs_896x512.py'
# Height and width of GTA5's and Cityscapes' frames.
SIZES = dict(source=(1052, 1914), target=(1024, 2048))


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--frames', type=int, default=4, help='of each kind')
    parser.add_argument('--draws', type=int, default=60, help='of each form')
    parser.add_argument(
        '--shrink', type=int, default=1, help='divide all sizes, for a trial'
    )
    parser.add_argument('--json', type=Path, help='write the results here')
    parser.add_argument('--doc', type=Path, help='write the tables here')
    parser.add_argument(
        '--folder', type=Path, help='keep frames and cache here (default: no)'
    )
    return parser.parse_args()


def read_pipelines(shrink: int) -> dict[str, list[dict]]:
    """Read the training pipelines of both domains."""
    domains = Config.fromfile(CONFIG).train_dataloader.dataset.domains
    pipelines = dict(
        source=domains.source.pipeline, target=domains.target.pipeline
    )
    for steps in pipelines.values():
        for step in steps:
            for key in {'scale', 'crop_size', 'frame_size'} & step.keys():
                step[key] = tuple(side // shrink for side in step[key])
    return pipelines


def measure(args: argparse.Namespace, folder: Path) -> dict:
    """Draw, time and compare; returns all results."""
    pipelines = read_pipelines(args.shrink)
    sizes = {
        domain: tuple(side // args.shrink for side in size)
        for domain, size in SIZES.items()
    }
    frames = draw_frames(folder / 'frames', args.frames, **sizes)
    results = dict(machine=describe(), loading={}, cache={})
    for name, frame_set in frames.items():
        steps = pipelines[name.split(',')[0]]
        cache = folder / 'cache' / name
        forms = make_pipelines(steps, str(cache))
        results['loading'][name] = time_pipelines(forms, frame_set, args.draws)
        entries = [path.stat().st_size for path in cache.rglob('*.npy')]
        results['cache'][name] = dict(
            png_megabytes=frame_set.megabytes(),
            megabytes=sum(entries) / args.frames / 1e6,
        )
    (step,) = (
        s for s in pipelines['source'] if s['type'] == 'RandomResizeCrop'
    )
    results['window'] = compare_windows(
        TRANSFORMS.build(step), frames['source, one filter'], args.draws
    )
    return results


def describe() -> str:
    """Describe the machine and the relevant versions."""
    return (
        f'{describe_machine()} OpenCV {cv2.__version__}, Pillow '
        f'{PIL.__version__}.'
    )


def loading_rows(results: dict, separator: str) -> list[list[str]]:
    """Make the rows of whole samples, and a separator before the steps."""
    rows = []
    for name, forms in results['loading'].items():
        stock = forms['stock']['median']
        for form, figures in forms.items():
            spread = f'{figures["p10"]:.1f} - {figures["p90"]:.1f}'
            steps = separator.join(
                f'{step} {ms:.1f}' for step, ms in figures['steps'].items()
            )
            ratio = f'{stock / figures["median"]:.2f}'
            median = f'{figures["median"]:.1f}'
            rows.append([name, form, median, spread, ratio, steps])
    return rows


HEADS = ['frames', 'form', 'ms', '10 - 90 %', 'times stock', 'ms of the steps']


def notes(results: dict) -> list[str]:
    """Describe the other results in sentences."""
    window = results['window']
    return [
        'Resize and crop of image and label alone: '
        f'{window["whole"]:.1f} ms as whole frames by Pillow, '
        f'{window["window"]:.1f} ms as windows, '
        f'{window["window"] / window["whole"]:.2f} of it.',
        'They differ in '
        f'{window["image_percent"]:.3f} % of the pixels '
        f'({window["image_percent_worst"]:.3f} % in the worst window), by one '
        f'grey level but for {window["above_one_ppm"]:.2f} in a million, and '
        f'in {window["label_percent"]:.3f} % of the label pixels.',
        *(
            f'Cache, {name}: {sizes["megabytes"]:.2f} MB a sample, beside '
            f'{sizes["png_megabytes"]:.2f} MB of the image file.'
            for name, sizes in results['cache'].items()
        ),
    ]


def to_markdown(results: dict) -> str:
    """Write the tables for the document."""
    rows = [HEADS, ['---'] * len(HEADS), *loading_rows(results, ', ')]
    table = '\n'.join('| ' + ' | '.join(row) + ' |' for row in rows)
    listed = '\n'.join(f'- {note}' for note in notes(results))
    return f'{table}\n\n{listed}\n\n{results["machine"]}'


def show(results: dict) -> None:
    """Print the tables."""
    console = Console()
    table = Table(*HEADS, show_lines=True)
    for row in loading_rows(results, '\n'):
        table.add_row(*row)
    console.print(table)
    for line in [*notes(results), results['machine']]:
        console.print(line, highlight=False)


def main() -> None:
    """Measure, print and write."""
    args = parse_args()
    register_all_modules()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    np.random.seed(0)
    with exit_on_user_error():
        with TemporaryDirectory() as temporary:
            results = measure(args, args.folder or Path(temporary))
        if args.doc:
            put_results(args.doc, to_markdown(results))
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(json.dumps(results, indent=2) + '\n')
    show(results)


if __name__ == '__main__':
    main()
