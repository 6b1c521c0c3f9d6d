# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Show runs in the browser: ``python tools/analysis/report.py WORK_DIR ...``.

Writes one HTML file that needs no other and no network. What a run did not
record, its checkpoints tell as far as they are kept.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from mmseg.utils import register_all_modules

import mmseg_cag  # noqa: F401
from mmseg_cag.errors import UserError


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        'runs', nargs='+', type=Path, metavar='WORK_DIR', help='of a run'
    )
    parser.add_argument(
        '--out',
        type=Path,
        help='the file (default: report.html in the first work dir)',
    )
    parser.add_argument(
        '--images',
        type=int,
        default=24,
        help='validation images on which is computed what was not recorded',
    )
    args = parser.parse_args()
    if args.images < 1:
        parser.error(f'--images {args.images}: expected 1 or more')
    return args


def main() -> None:
    """Write the report and say where it is."""
    args = parse_args()
    register_all_modules()
    try:
        from mmseg_cag.analysis.report.write import write_report

        out = args.out or args.runs[0] / 'report.html'
        write_report(args.runs, out, args.images)
    except UserError as error:
        raise SystemExit(f'error: {error}') from None
    print(f'Report: {out}')


if __name__ == '__main__':
    main()
