# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Draw a paper figure from a finished run, as PNG and PDF.

    python tools/analysis/draw_figure.py pseudo_labels WORK_DIR
    python tools/analysis/draw_figure.py panels WORK_DIR
    python tools/analysis/draw_figure.py features WORK_DIR

The target labels of val_dataloader are read for display only.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from figures.make import FIGURES, Choices
from mmseg.utils import register_all_modules

from mmseg_cag.analysis.runs.run import open_run
from mmseg_cag.errors import exit_on_user_error
from mmseg_cag.launch.cfg_options import parse_options


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('figure', choices=FIGURES)
    parser.add_argument('work_dir', type=Path)
    parser.add_argument(
        '--out',
        type=Path,
        help='output path without suffix (default: WORK_DIR/figures/FIGURE)',
    )
    parser.add_argument(
        '--checkpoint', type=Path, help='used instead of the last'
    )
    parser.add_argument(
        '--start',
        type=Path,
        help='checkpoint the run started from, if the run does not record it',
    )
    parser.add_argument(
        '--images',
        type=int,
        default=100,
        help='images read from each domain, evenly spaced',
    )
    parser.add_argument(
        '--show',
        type=int,
        nargs='+',
        metavar='INDEX',
        help='indices of the target images to show',
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action='extend',
        metavar='KEY=VALUE',
        help='override settings of the run: key.of.config=value ...',
    )
    args = parser.parse_args()
    if args.images < 1:
        parser.error('--images: expected at least 1')
    return args


def main() -> None:
    """Draw the figure and print the paths of its files."""
    args = parse_args()
    register_all_modules()
    out = args.out or args.work_dir / 'figures' / args.figure
    with exit_on_user_error():
        choices = Choices(args.checkpoint, args.start, args.images, args.show)
        run = open_run(args.work_dir, parse_options(args.cfg_options or ()))
        paths = FIGURES[args.figure](run, out, choices)
    print(' and '.join(map(str, paths)), 'written')


if __name__ == '__main__':
    main()
