# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Evaluate a run's pseudo labels against the target's ground truth.

    python tools/analysis/evaluate_pseudo_labels.py CONFIG CHECKPOINT

uses the config's test set and the anchors, margin and teacher stored in the
checkpoint. For analysis only: training never sees these labels.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from mmengine.config import Config
from rich.console import Console
from rich.table import Table


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('config', help='training config of the run')
    parser.add_argument('checkpoint', help='checkpoint of the run')
    parser.add_argument(
        '--out', type=Path, help='also write the results to this JSON file'
    )
    parser.add_argument(
        '--work-dir',
        default='work_dirs/pseudo_label_quality',
        help='folder of the log',
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action='extend',
        metavar='KEY=VALUE',
        help='override settings, such as test_dataloader.dataset: '
        'key.of.config=value ...',
    )
    args = parser.parse_args()
    if args.out and args.out.is_dir():
        parser.error(f'--out {args.out}: is a folder, expected a file')
    return args


def load_config(args: argparse.Namespace) -> Config:
    """Merge the config file with the command line."""
    for path in (args.config, args.checkpoint):
        if not Path(path).is_file():
            raise SystemExit(f'error: {path}: file not found')
    # Imported after parsing: these imports take seconds.
    from mmseg_cag.launch.cfg_options import load_or_exit, merge_or_exit

    cfg = load_or_exit(args.config)
    merge_or_exit(cfg, args.cfg_options)
    return cfg


def percent(share: float | None) -> str:
    """Format a fraction as percent; a dash if undefined."""
    return '-' if share is None else f'{share:.1%}'


def main() -> None:
    """Count, print the tables and write the results."""
    args = parse_args()
    cfg = load_config(args)
    # Imported after the config, which may select modules.
    from mmseg_cag.analysis.evaluate import (
        build_runner,
        label_confusion,
        quality_of,
    )
    from mmseg_cag.errors import exit_on_user_error

    with exit_on_user_error():
        folder = Path(args.work_dir)
        runner = build_runner(cfg, Path(args.checkpoint), folder)
        counts = label_confusion(runner)
    classes = runner.test_dataloader.dataset.metainfo['classes']
    figures = {}
    for kind, of_kind in counts.items():
        by_class, total = quality_of(of_kind, classes)
        rows = {**by_class, 'all': total}
        figures[kind] = {name: q._asdict() for name, q in rows.items()}
        table = Table('class', 'precision', 'coverage', 'labels', 'pixels')
        table.title = f'Pseudo labels by {kind}'
        for name, q in rows.items():
            shares = percent(q.precision), percent(q.coverage)
            table.add_row(name, *shares, str(q.labels), str(q.pixels))
        Console(markup=False).print(table)
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(figures, indent=1))


if __name__ == '__main__':
    main()
