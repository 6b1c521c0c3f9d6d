# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Draw the minitown datasets into a folder.

Example:
    python tools/draw_minitown.py data/minitown --sheet minitown.png
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2

from mmseg_cag.errors import exit_on_user_error
from mmseg_cag.minitown.sheet import contact_sheet
from mmseg_cag.minitown.town import draw_minitown
from mmseg_cag.progress import progress


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('root', type=Path, help='folder of the datasets')
    parser.add_argument(
        '--size',
        type=int,
        nargs=2,
        default=(128, 256),
        metavar=('H', 'W'),
        help='height and width of the images',
    )
    for name, count, form in (
        ('source', 600, 'GTA5'),
        ('target', 600, 'Cityscapes train'),
        ('val', 100, 'Cityscapes val'),
        ('synthia', 100, 'SYNTHIA'),
    ):
        parser.add_argument(
            f'--{name}',
            type=int,
            default=count,
            help=f'images in the layout of {form}',
        )
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--workers', type=int, help='number of processes')
    parser.add_argument(
        '--force',
        action='store_true',
        help='replace a minitown drawn with other arguments',
    )
    parser.add_argument(
        '--sheet', type=Path, help='write a sheet of images and labels here'
    )
    return parser.parse_args()


def main() -> None:
    """Draw; report user errors in one line."""
    with exit_on_user_error():
        run(parse_args())


def run(args: argparse.Namespace) -> None:
    """Draw, and report whether anything was missing."""
    with progress('minitown') as show:
        drawn = draw_minitown(
            args.root,
            size=tuple(args.size),
            source=args.source,
            target=args.target,
            val=args.val,
            synthia=args.synthia,
            seed=args.seed,
            workers=args.workers,
            overwrite=args.force,
            progress=show,
        )
    if drawn:
        print(f'drawn into {args.root}')
    else:
        print(f'{args.root} is complete already')
    if args.sheet:
        sheet = contact_sheet(args.root)
        if not cv2.imwrite(str(args.sheet), sheet[..., ::-1]):
            raise SystemExit(f'{args.sheet} could not be written')


if __name__ == '__main__':
    main()
