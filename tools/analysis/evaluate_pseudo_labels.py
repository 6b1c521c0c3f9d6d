# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Compare a run's pseudo labels with the target's truth.

    python tools/analysis/evaluate_pseudo_labels.py CONFIG CHECKPOINT

on the config's test set, with the anchors, the margin and the teacher that the
checkpoint holds. Training has no part in it and never sees such labels.
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
    parser.add_argument('config', help='config that the run was trained by')
    parser.add_argument('checkpoint', help='checkpoint of the run')
    parser.add_argument(
        '--out', type=Path, help='JSON file for the figures, beside the table'
    )
    parser.add_argument(
        '--work-dir',
        default='work_dirs/pseudo_label_quality',
        help='where the log goes',
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action='extend',
        metavar='KEY=VALUE',
        help='override settings, such as another test_dataloader.dataset: '
        'key.of.config=value ...',
    )
    return parser.parse_args()


def load_config(args: argparse.Namespace) -> Config:
    """Merge the config file with the command line."""
    for path in (args.config, args.checkpoint):
        if not Path(path).is_file():
            raise SystemExit(f'error: {path}: file not found')
    # After the command line: these imports take seconds.
    from mmseg_cag.launch.cfg_options import load_or_exit, merge_or_exit

    cfg = load_or_exit(args.config)
    merge_or_exit(cfg, args.cfg_options)
    return cfg


def percent(share: float | None) -> str:
    """Write a share, a dash where it is of nothing."""
    return '-' if share is None else f'{share:.1%}'


def main() -> None:
    """Count, show the tables and write the figures."""
    args = parse_args()
    cfg = load_config(args)
    # After the config, which may choose what is imported.
    from mmseg_cag.analysis.evaluate import (
        build_runner,
        label_confusion,
        quality_of,
    )
    from mmseg_cag.errors import UserError

    try:
        folder = Path(args.work_dir)
        runner = build_runner(cfg, Path(args.checkpoint), folder)
        counts = label_confusion(runner)
    except UserError as error:
        raise SystemExit(f'error: {error}') from None
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
        Console().print(table)
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(figures, indent=1))


if __name__ == '__main__':
    main()
