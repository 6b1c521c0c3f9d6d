# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Report on runs in HTML: ``python tools/analysis/report.py WORK_DIR ...``.

Writes one self-contained HTML file that works offline. Values the run did not
record are computed from the checkpoints that still exist.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from mmseg.utils import register_all_modules

import mmseg_cag  # noqa: F401
from mmseg_cag.errors import exit_on_user_error


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        'runs', nargs='+', type=Path, metavar='WORK_DIR', help='work dirs'
    )
    parser.add_argument(
        '--out',
        type=Path,
        help='output (default: report.html in the first work dir)',
    )
    parser.add_argument(
        '--images',
        type=int,
        default=24,
        help='validation images used to compute unrecorded values',
    )
    parser.add_argument(
        '--gap',
        type=Path,
        help='gap.json of tools/check_gap.py (default: that in each work dir)',
    )
    args = parser.parse_args()
    if args.images < 1:
        parser.error(f'--images {args.images}: expected 1 or more')
    return args


def main() -> None:
    """Write the report and print its path."""
    args = parse_args()
    register_all_modules()
    with exit_on_user_error():
        from mmseg_cag.analysis.report.write import write_report

        out = args.out or args.runs[0] / 'report.html'
        write_report(args.runs, out, args.images, args.gap)
    print(f'Report: {out}')


if __name__ == '__main__':
    main()
