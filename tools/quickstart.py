# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Adapt a network from one synthetic town to another and show the gain.

Draws the towns, trains on the source, adapts with anchors in a mean teacher
and evaluates both networks on the target's validation set.
``tools/quickstart.sh`` installs and calls this.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from mmseg_cag.analysis.evaluate import build_runner
from mmseg_cag.analysis.report.write import write_report
from mmseg_cag.errors import exit_on_user_error
from mmseg_cag.fileio.images import read_image
from mmseg_cag.minitown.child import exit_on_signals
from mmseg_cag.minitown.comparison import predict, save_comparison
from mmseg_cag.minitown.runs import Budget, MinitownRuns
from mmseg_cag.visualization import colorize

METHOD = 'anchor_teacher'  # best method of docs/minitown.md
ADAPT_ITERS = 100  # 8 minutes in total on two idle cores


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--seed', type=int, default=0, help='of training')
    parser.add_argument('--data', type=Path, default='data/minitown')
    parser.add_argument(
        '--work-dir', type=Path, default='work_dirs/quickstart'
    )
    parser.add_argument(
        '--images',
        type=int,
        nargs=4,
        default=Budget.images,
        metavar=('SOURCE', 'TARGET', 'VAL', 'SYNTHIA'),
    )
    parser.add_argument(
        '--size', type=int, nargs=2, default=Budget.size, metavar=('H', 'W')
    )
    parser.add_argument('--supervised-iters', type=int)
    parser.add_argument(
        '--adapt-iters',
        type=int,
        default=ADAPT_ITERS,
        help='default: %(default)s; the benchmark takes 450',
    )
    return parser.parse_args()


def save_picture(runs: MinitownRuns, path: Path, count: int = 4) -> None:
    """Draw input, ground truth and both predictions of some images."""
    columns = []
    for name in ('source_only', METHOD):
        runner = build_runner(
            runs.config(name),
            runs.checkpoints(name)[-1],
            runs.folder / 'evaluation' / name,
        )
        dataset = runner.test_dataloader.dataset
        indices = np.linspace(0, len(dataset) - 1, count, dtype=int).tolist()
        palette = dataset.metainfo['palette']
        columns.append(
            [colorize(p, palette) for p in predict(runner, indices)]
        )
    samples = [dataset[index]['data_samples'] for index in indices]
    images = [read_image(s.img_path)[..., ::-1] for s in samples]
    truths = [colorize(s.gt_sem_seg.data[0], palette) for s in samples]
    rows = list(zip(images, truths, *columns, strict=True))
    titles = ('Target image', 'Truth', 'Source only', 'Adapted')
    classes = dataset.metainfo['classes']
    save_comparison(path, titles, rows, classes, palette)


def show_table(results: dict[str, float], seconds: dict[str, float]) -> None:
    """Print the results and their training time."""
    table = Table(title='Target mIoU over 19 classes, last checkpoints')
    table.add_column('network')
    table.add_column('mIoU, %', justify='right')
    table.add_column('gain', justify='right')
    for name, value in results.items():
        gain = value - results['source_only']
        table.add_row(name, f'{value:.1f}', f'{gain:+.1f}')
    console = Console()
    console.print(table)
    parts = ', '.join(
        f'{name} {value:.0f} s' for name, value in seconds.items()
    )
    console.print(f'Time: {parts}')


def main() -> None:
    """Run the quickstart; report user errors in one line."""
    # Flush each line when output goes to a file.
    sys.stdout.reconfigure(line_buffering=True)
    exit_on_signals()
    with exit_on_user_error():
        run(parse_args())


def run(args: argparse.Namespace) -> None:
    """Run the steps in order and write the summary last."""
    budget = Budget(
        tuple(args.images),
        tuple(args.size),
        args.supervised_iters,
        args.adapt_iters,
    )
    runs = MinitownRuns(
        args.data.resolve(), args.work_dir.resolve(), args.seed, budget
    )
    seconds = {
        'towns': runs.draw(),
        'source_only': runs.train('source_only'),
        METHOD: runs.train(METHOD),
    }
    start = time.monotonic()
    results = {
        name: runs.evaluate(name)[-1] for name in ('source_only', METHOD)
    }
    picture = runs.folder / 'comparison.png'
    save_picture(runs, picture)
    seconds['evaluation'] = round(time.monotonic() - start, 1)
    summary = {'seed': args.seed, **results, 'seconds': seconds}
    path = runs.folder / 'summary.json'
    path.write_text(json.dumps(summary, indent=2))
    show_table(results, seconds)
    report = write_report([runs.folder / METHOD], runs.folder / 'report.html')
    print(f'Summary: {path}\nPicture: {picture}\nReport: {report}')


if __name__ == '__main__':
    main()
