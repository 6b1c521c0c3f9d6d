# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Evaluate a network on images unused for training and selection.

    python tools/certify.py CONFIG CHECKPOINT [--against CHECKPOINT]

prints mIoU, per-class IoU and foreground F1 with confidence intervals, and the
difference to a second network on the same images.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from command_line import expression
from decisions.counting import count
from decisions.frozen import add_arguments, open_config
from decisions.held_out import HeldOut, held_out, roles_of
from decisions.near_duplicates import warn_of_pairs
from decisions.seen import Seen, near_seen, require_unseen, seen_images
from mmengine.config import Config
from rich.console import Console
from rich.table import Table

from mmseg_cag.datasets.roles import file_sha256
from mmseg_cag.errors import UserError, exit_on_user_error
from mmseg_cag.evaluation.bootstrap import (
    MIN_GROUPS,
    Intervals,
    bootstrap,
    f1_of,
    group_sums,
    iou_of,
    mean_of,
)
from mmseg_cag.fileio.json_file import write_json

# legend: N images, R resamples, K classes, S statistics


class Sure(NamedTuple):
    """A score in percent with its confidence interval, None if unknown."""

    value: float
    low: float | None
    high: float | None

    def __str__(self) -> str:
        if self.low is None:
            return f'{self.value:.1f}'
        return f'{self.value:.1f} [{self.low:.1f}, {self.high:.1f}]'


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_arguments(parser)
    parser.add_argument(
        '--against', type=Path, help='another checkpoint of the same network'
    )
    parser.add_argument(
        '--roles', help='roles file (default: roles of the config)'
    )
    parser.add_argument(
        '--group',
        type=expression,
        help='regular expression for the drive or tile in an image name: '
        'images with the same match are resampled together',
    )
    parser.add_argument(
        '--foreground',
        nargs='+',
        help='classes to report F1 of (default: the second of two classes)',
    )
    parser.add_argument(
        '--level', type=float, default=0.95, help='confidence level'
    )
    parser.add_argument(
        '--resamples', type=int, default=2000, help='bootstrap resamples'
    )
    parser.add_argument('--out', type=Path, help='JSON file; must not exist')
    args = parser.parse_args()
    if not 0 < args.level < 1:
        parser.error(f'--level {args.level}: expected a share between 0 and 1')
    if args.resamples < 100:
        parser.error(f'--resamples {args.resamples}: expected 100 or more')
    return args


def certify(args: argparse.Namespace, cfg: Config) -> dict:
    """Evaluate the network; returns all results.

    Raises:
        UserError: The set is empty or has no label, or the network has seen
            part of it.
    """
    if args.out and args.out.exists():
        raise UserError(f'{args.out}: already exists, expected a new file')
    roles = roles_of(cfg, args.roles)
    held = held_out(cfg, roles, args.group)
    classes = list(held.dataset.metainfo['classes'])
    foreground = foreground_of(args.foreground, classes)
    checkpoints = [args.checkpoint, *([args.against] if args.against else [])]
    seen = seen_images(cfg, checkpoints, held, roles)
    require_unseen(held, seen)
    warn_of_near(held, seen)
    counts = [count(cfg, path, held, classes) for path in checkpoints]
    labelled = np.split(counts[0].sum(0), 3)[2]  # pixels of each class
    if not labelled.any():
        raise UserError(
            f'{roles.path if roles else "test_dataloader.dataset"}: no pixel '
            f'of the {len(held.indices)} labels has a class, expected some'
        )
    found = {'images': len(held.indices), 'groups': len({*held.groups})}
    found |= {'level': args.level, 'resamples': args.resamples}
    found['networks'] = [
        {
            'checkpoint': str(path),
            'sha256': file_sha256(str(path)),
            **score(of_one, held.groups, classes, foreground, args),
        }
        for path, of_one in zip(checkpoints, counts, strict=True)
    ]
    if args.against:
        both = np.concatenate(counts, 1)
        found['difference'] = score(
            both, held.groups, classes, foreground, args
        )
    found['absent'] = [
        name
        for name, pixels in zip(classes, labelled, strict=True)
        if not pixels
    ]
    return found


def foreground_of(names: list[str] | None, classes: list[str]) -> list[str]:
    """Choose the classes to report F1 of.

    Raises:
        UserError: A name is no class.
    """
    if names is None:
        return classes[1:] if len(classes) == 2 else []
    for name in names:
        if name not in classes:
            raise UserError(
                f'--foreground {name}: expected one of {", ".join(classes)}'
            )
    return names


def score(
    counts: np.ndarray,
    groups: list[str],
    classes: list[str],
    foreground: list[str],
    args: argparse.Namespace,
) -> dict:
    """Compute the scores of one network, or its gain over a second one.

    Args:
        counts: (N, 3 K) from `count`, or (N, 6 K) of two networks side by
            side, to compare the first with the second.
        groups: Group of each image.
        classes: Names of the classes.
        foreground: Classes to report F1 of.
        args: Level and number of resamples.
    """
    width = 3 * len(classes)

    def scores(sums: np.ndarray) -> np.ndarray:
        first = _scores(sums[:, :width], classes, foreground)
        if sums.shape[1] == width:
            return first
        return first - _scores(sums[:, width:], classes, foreground)

    found = bootstrap(
        group_sums(counts, groups), scores, args.level, args.resamples
    )
    rows = iter(_rows(found))
    result = {'mIoU': next(rows)}
    result['IoU'] = {name: next(rows) for name in classes}
    if foreground:
        result['F1'] = {name: next(rows) for name in [*foreground, 'mean']}
    return result


def _scores(
    sums: np.ndarray, classes: list[str], foreground: list[str]
) -> np.ndarray:
    """Compute mIoU, IoU and F1 (R, S) of summed counts, in percent."""
    iou = iou_of(sums)
    f1 = f1_of(sums)[:, [classes.index(name) for name in foreground]]
    own = [f1, mean_of(f1)] if foreground else []
    return 100 * np.concatenate([mean_of(iou), iou, *own], 1)


def _rows(found: Intervals) -> Iterator[dict | None]:
    """Pair each statistic with its interval; None if undefined."""
    for row in zip(found.value, found.low, found.high, strict=True):
        known = [round(float(x), 2) if np.isfinite(x) else None for x in row]
        yield None if known[0] is None else Sure(*known)._asdict()


def warn_of_near(held: HeldOut, seen: Sequence[Seen]) -> None:
    """Warn of near-duplicates of images that the network has seen."""
    warn_of_pairs(near_seen(held, seen))


def show(found: dict) -> None:
    """Print the table."""
    paths = [Path(network['checkpoint']) for network in found['networks']]
    names = [path.name for path in paths]
    if len({*names}) < len(names):
        names = ['/'.join(path.parts[-2:]) for path in paths]
    table = Table('', *names, *(['difference'] * ('difference' in found)))
    columns = [
        *found['networks'],
        *([found[k] for k in ['difference'] if k in found]),
    ]
    table.add_row('mIoU', *(cell(c['mIoU']) for c in columns))
    for title in ('IoU', 'F1'):
        for name in columns[0].get(title, ()):
            cells = [cell(c[title][name]) for c in columns]
            table.add_row(f'{title} {name}', *cells)
    share = f'{100 * found["level"]:g} %'
    table.title = f'Percent, with {share} intervals'
    table.caption = f'{found["images"]} images in {found["groups"]} groups'
    Console(markup=False).print(table)
    if found['absent']:
        print(
            'In no label of the set, so not in mIoU: '
            f'{", ".join(found["absent"])}'
        )
    if 'difference' in found:
        row = found['difference']['mIoU']
        # At a higher level than 95 %, more.
        bits = math.log2(1 - found['level'])
        least = max(MIN_GROUPS, math.ceil(1 - bits))
        print(verdict(row, names, share, found['groups'], least))


def cell(row: dict | None) -> str:
    """Format a score with its interval; a dash if undefined."""
    return '-' if row is None else str(Sure(**row))


def verdict(
    row: dict, names: list[str], share: str, groups: int, least: int
) -> str:
    """State which of two networks is better.

    Args:
        row: The difference of their scores.
        names: Names of both.
        share: Level of the intervals, as text.
        groups: Number of groups of images.
        least: Number of groups that a verdict needs.
    """
    first, second = names
    if row['low'] is None:
        return 'One group of images has no interval: no verdict'
    if groups < least:
        return (
            f'{groups} groups of images are too few for a {share} interval, '
            f'expected {least} or more: no verdict'
        )
    if row['low'] > 0:
        return f'{first} is better than {second}'
    if row['high'] < 0:
        return f'{first} is worse than {second}'
    return (
        f'Neither is better: the {share} interval of the difference contains '
        '0, more labelled images would narrow it'
    )


def main() -> None:
    """Evaluate, print and write."""
    args = parse_args()
    cfg = open_config(args)
    with exit_on_user_error():
        found = certify(args, cfg)
    show(found)
    if args.out:
        write_json(args.out, found)


if __name__ == '__main__':
    main()
