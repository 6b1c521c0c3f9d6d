# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Check the data of a config: ``python tools/check_data.py CONFIG``.

Exit codes: 0 without findings, 1 with warnings, 2 with errors.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from functools import partial
from pathlib import Path

from command_line import add_cfg_options, output_file
from mmengine.config import Config
from mmengine.registry import init_default_scope
from rich.console import Console

ERROR = 2


def positive(text: str) -> int:
    """Parse a positive integer."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(
            f'expected a whole number from 1, found {text!r}'
        )
    return int(text)


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description='Check all data that a config reads'
    )
    parser.add_argument('config', help='config file')
    add_cfg_options(parser)
    parser.add_argument(
        '--full', action='store_true', help='decode every file'
    )
    parser.add_argument(
        '--sample',
        type=positive,
        default=200,
        help='samples to decode per dataset, unless --full',
    )
    parser.add_argument(
        '--workers',
        type=positive,
        help='decoding processes (default: one per core)',
    )
    parser.add_argument(
        '--json', type=output_file, help='write all findings here'
    )
    return parser.parse_args()


def read_config(args: argparse.Namespace) -> Config:
    """Read the config and register its imports."""
    if not Path(args.config).is_file():
        raise ValueError(f'{args.config}: config file not found')
    # Imported after parsing: these imports take seconds.
    from mmseg_cag.fileio.safe_config import load_config
    from mmseg_cag.launch.cfg_options import (
        merge_options,
        parse_options,
        require_read,
    )

    cfg = load_config(args.config)
    require_read(cfg, args.config)
    merge_options(cfg, parse_options(args.cfg_options or ()))
    init_default_scope(cfg.get('default_scope', 'mmseg'))
    return cfg


def progress(
    console: Console, items: Iterable, total: int, text: str
) -> Iterable:
    """Show the progress."""
    # Imported after the config, which may select modules.
    from mmseg_cag.progress import track

    return track(items, text, total, console)


def main() -> int:
    """Check and report; returns the exit code."""
    args = parse_args()
    notes = Console(stderr=True)
    try:
        cfg = read_config(args)
    except Exception as error:  # a config is code: it can raise anything
        line = (str(error).strip().splitlines() or [type(error).__name__])[-1]
        notes.print(f'error: {line}', markup=False, soft_wrap=True)
        return ERROR
    from mmseg_cag.data_check.examine import examine
    from mmseg_cag.data_check.report import show
    from mmseg_cag.errors import UserError
    from mmseg_cag.fileio.json_file import write_json
    from mmseg_cag.stack import core_count

    workers = args.workers or core_count()
    sample = None if args.full else args.sample
    try:
        report = examine(cfg, sample, workers, partial(progress, notes))
    except UserError as error:
        notes.print(f'error: {error}', markup=False, soft_wrap=True)
        return ERROR
    show(report, Console())
    if args.json:
        write_json(args.json, report.as_dict())
    return report.exit_code


if __name__ == '__main__':
    sys.exit(main())
