# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Choose the threshold of a binary network on a split and freeze it.

python tools/freeze_threshold.py CONFIG CHECKPOINT OUT --role choose

finds the foreground probability that maximises F1 on the split, and writes a
checkpoint with a shifted classifier bias: any program that loads it predicts
with this threshold.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from decisions.frozen import (
    Frozen,
    add_arguments,
    open_config,
    open_network,
)
from decisions.held_out import labelled_target, roles_of

from mmseg_cag.analysis.runs.samples import (
    Sample,
    build_dataset,
    read_samples,
)
from mmseg_cag.datasets.roles import file_sha256, indices_of
from mmseg_cag.engine.records.descent import (
    DESCENT,
    data_in,
    inherited,
    unique,
)
from mmseg_cag.errors import UserError, exit_on_user_error
from mmseg_cag.fileio.atomic import atomic_path
from mmseg_cag.fileio.safe_load import read_checkpoint
from mmseg_cag.models.losses.head_loss import resize_as
from mmseg_cag.progress import track

# Bin edges of the foreground's log-odds, from about 1e-5 to 1 - 1e-5.
EDGES = np.linspace(-12, 12, 2401)


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_arguments(parser)
    parser.add_argument('out', type=Path, help='output checkpoint')
    parser.add_argument(
        '--role',
        default='choose',
        choices=('choose', 'train'),
        help='the split; certify is reserved for evaluation',
    )
    parser.add_argument(
        '--roles', help='roles file (default: roles of the config)'
    )
    return parser.parse_args()


def count_odds(network: Frozen, samples: Iterable[Sample]) -> np.ndarray:
    """Count pixels (2, bins) of background and foreground by log-odds.

    Args:
        network: Network with two classes.
        samples: Labelled images.
    """
    counts = np.zeros((2, len(EDGES) - 1), np.int64)
    for sample in samples:
        truth = sample.truth
        scores = network.logits(sample)[None]
        scores = resize_as(network.model.decode_head, scores, truth.shape)[0]
        odds = scores[-1] - (scores[0] if len(scores) > 1 else 0)
        odds = odds.clamp(EDGES[0], EDGES[-1] - 1e-6).numpy()
        for category in (0, 1):
            chosen = odds[(truth == category).numpy()]
            counts[category] += np.histogram(chosen, EDGES)[0]
    return counts


def f1_by_threshold(counts: np.ndarray) -> np.ndarray:
    """Compute F1 in percent with each bin's lower edge as threshold (bins,).

    Args:
        counts: Pixels (2, bins) of background and foreground.
    """
    false, hits = np.cumsum(counts[:, ::-1], axis=1)[:, ::-1]
    total = hits + false + counts[1].sum()
    return 200 * hits / np.maximum(total, 1)


def best_odds(counts: np.ndarray) -> float:
    """Find the log-odds of the highest F1; ties go to the nearest to 0."""
    scores = f1_by_threshold(counts)
    best = np.flatnonzero(scores == scores.max())
    return float(EDGES[best[np.abs(EDGES[best]).argmin()]])


def moved(checkpoint: dict, by: float, path: Path) -> dict:
    """Shift the foreground bias in a checkpoint.

    Raises:
        UserError: The classifier has no bias.
    """
    bias = checkpoint['state_dict'].get('decode_head.conv_seg.bias')
    if bias is None:
        raise UserError(
            f'{path}: its classifier has no bias, expected one to shift by a '
            'threshold'
        )
    state = dict(checkpoint['state_dict'])
    bias = bias.clone()
    bias[-1] += by
    state['decode_head.conv_seg.bias'] = bias
    return {**checkpoint, 'state_dict': state}


def main() -> None:
    """Choose, write, and print the change."""
    args = parse_args()
    cfg = open_config(args)
    with exit_on_user_error():
        if args.out.exists():
            raise UserError(f'{args.out}: already exists, expected a new file')
        roles = roles_of(cfg, args.roles)
        if roles is None:
            raise UserError('roles: not set, expected --roles FILE')
        key, target = labelled_target(cfg, roles)
        dataset = build_dataset(target, key)
        classes = dataset.metainfo['classes']
        if len(classes) != 2:
            raise UserError(
                f'{key}: {len(classes)} classes: {", ".join(classes)}; '
                'expected two, the background and the foreground'
            )
        roles.require_classes(classes, key)
        images = roles.require(args.role)
        indices = indices_of(dataset, images, key)
        network = open_network(cfg, args.checkpoint, classes)
        samples = track(
            read_samples(dataset, indices), 'Threshold', total=len(indices)
        )
        counts = count_odds(network, samples)
        if not counts[1].any():
            raise UserError(
                f'{roles.path}: {args.role} has no pixel of {classes[1]}, '
                'expected some to choose a threshold on'
            )
        head = network.model.decode_head
        one = head.out_channels == 1
        before = math.log(head.threshold / (1 - head.threshold)) if one else 0
        odds = best_odds(counts)
        checkpoint = read_checkpoint(args.checkpoint)
        written = moved(checkpoint, before - odds, args.checkpoint)
        stated = cfg.get('licences')
        descent = inherited(args.checkpoint, 'given a threshold', stated)
        descent += data_in(target, 'threshold', stated)
        meta = written.get('meta') or {}
        written['meta'] = {**meta, DESCENT: unique(descent)}
    threshold = 1 / (1 + math.exp(-odds))
    written['threshold'] = dict(
        probability=threshold,
        role=args.role,
        image_sha256={one.image: one.image_sha256 for one in images},
        roles_sha256=file_sha256(roles.path),
    )
    with atomic_path(args.out) as draft:
        torch.save(written, draft)
    scores = f1_by_threshold(counts)
    now = scores[np.searchsorted(EDGES, before, 'right') - 1]
    print(
        f'{args.out}: {classes[1]} from a probability of {threshold:.3f} on, '
        f'chosen on {args.role} ({len(images)} images): '
        f'F1 {scores.max():.1f}, before {now:.1f}'
    )


if __name__ == '__main__':
    main()
