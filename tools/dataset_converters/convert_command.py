# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Command line shared by all dataset converters."""

from __future__ import annotations

import argparse
from pathlib import Path

from label_set import Conversion, convert_labels
from mmseg.datasets import CityscapesDataset
from rich.console import Console
from rich.table import Column, Table

from mmseg_cag.errors import escape_control_chars, exit_on_user_error
from mmseg_cag.progress import progress

CLASSES = CityscapesDataset.METAINFO['classes']


def convert_command(
    description: str, ids: str, gt_dir: str, suffix: str
) -> None:
    """Run the converter of a dataset; exits with 1 if a file failed.

    Args:
        description: Text of ``--help``.
        ids: Format of the label files, as `LoadLabelIds` knows it.
        gt_dir: Folder of the label files in the published dataset.
        suffix: Suffix of the label files' names.
    """
    args = _parse(description, gt_dir)
    with exit_on_user_error():
        result = _convert(args, ids, suffix)
    classes = range(len(CLASSES))
    if not result.failures and not result.pixels.keys() & classes:
        result.failures.append(
            f'{args.root / args.gt_dir}: no pixel belongs to a class, is it '
            'the right folder?'
        )
    _report(result)
    if result.failures:
        lines = [
            f'error: {escape_control_chars(line)}' for line in result.failures
        ]
        raise SystemExit('\n'.join(lines))


def _parse(description: str, gt_dir: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument('root', type=Path, help='folder of the dataset')
    parser.add_argument(
        '--gt-dir', default=gt_dir, help=f'label folder (default: {gt_dir})'
    )
    parser.add_argument(
        '-o',
        '--out-dir',
        type=Path,
        help='write into this folder, at the same relative paths, instead of '
        'beside the label files',
    )
    parser.add_argument('--nproc', type=int, help='number of processes')
    return parser.parse_args()


def _convert(args: argparse.Namespace, ids: str, suffix: str) -> Conversion:
    with progress('convert') as show:
        return convert_labels(
            args.root / args.gt_dir,
            (args.out_dir or args.root) / args.gt_dir,
            ids,
            suffix,
            workers=args.nproc,
            progress=show,
        )


def _report(result: Conversion) -> None:
    """Print the pixels of each class and a summary."""
    counts = {
        name: result.pixels[train_id] for train_id, name in enumerate(CLASSES)
    }
    total = result.pixels.total()
    counts['ignored'] = total - sum(counts.values())
    numbers = [Column(name, justify='right') for name in ('pixels', 'share')]
    table = Table('class', *numbers)
    for name, count in counts.items():
        table.add_row(name, f'{count:,}', f'{count / max(total, 1):.2%}')
    console = Console()
    console.print(table)
    console.print(
        f'{result.written} written, {result.kept} kept from an earlier run, '
        f'{len(result.failures)} failed'
    )
