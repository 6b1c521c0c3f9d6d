# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Plant shifts of the class prior, and see what re-weighting brings back.

    benchmark_reweighting.py CONFIG CHECKPOINT --seeds 51 52 53 54 55

The source becomes one whose classes were each five times, a fifth or as often
as drawn: its scores and its pixels are weighted so. The target is the source's
own town drawn with another seed. Cases that the file has are not measured
again.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from gaps.plant import plant

from mmseg_cag.analysis.runs.labeling_network import build_labeling_network
from mmseg_cag.analysis.runs.network import build_preprocessor, read_state
from mmseg_cag.analysis.runs.samples import (
    build_dataset,
    read_samples,
    source_dataset,
)
from mmseg_cag.datasets.dataset_configs import spread
from mmseg_cag.evaluation.bootstrap import class_counts, iou_of, mean_of
from mmseg_cag.fileio.json_file import read_json, write_json

if TYPE_CHECKING:
    from gap.observe import Observed

# legend: P pixels, K classes

FACTOR = 5
RESULTS = Path(__file__).parents[2] / 'docs/results/check_gap'


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    from decisions.frozen import add_arguments

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_arguments(parser)
    parser.add_argument(
        '--seeds', nargs='+', type=int, required=True, help='of the towns'
    )
    parser.add_argument(
        '--draws', type=int, default=6, help='shifts of each town'
    )
    parser.add_argument('--towns', type=Path, default=Path('data/gaps'))
    parser.add_argument('--source-images', type=int, default=160)
    parser.add_argument(
        '--out', type=Path, default=RESULTS / 'reweighting_shrunk.json'
    )
    return parser.parse_args()


def draw_shift(seed: int, draw: int, classes: int) -> np.ndarray:
    """Draw the logarithms of the factors (K,) of the source's classes."""
    rng = np.random.default_rng((seed, draw))
    return np.log(FACTOR) * rng.choice([-1, 0, 1], classes)


def as_if_source(
    images: Sequence[Observed], logs: np.ndarray, rng: np.random.Generator
) -> list[Observed]:
    """Weight the source's pixels, and its scores as a network would.

    Args:
        images: The source as it is.
        logs: Logarithms of the factors of its classes (K,).
        rng: Draws the pixels, each as often as its class is to be.
    """
    logits = np.concatenate([image.logits for image in images])
    truth = np.concatenate([image.truth for image in images])
    weights = np.where(truth >= 0, np.exp(logs)[truth], 0)
    chosen = rng.choice(len(truth), len(truth), p=weights / weights.sum())
    parts = np.array_split(chosen, len(images))
    found = []
    for image, own in zip(images, parts, strict=True):
        labels = (image.logits + logs).argmax(1)
        known = image.truth >= 0
        confusion = np.zeros((len(logs), len(logs)))
        rows = image.truth[known]
        np.add.at(confusion, (rows, labels[known]), np.exp(logs)[rows])
        found.append(
            image._replace(
                logits=logits[own] + logs,
                truth=truth[own],
                confusion=confusion,
                predicted=confusion.sum(0),
            )
        )
    return found


def as_if_target(
    images: Sequence[Observed], logs: np.ndarray
) -> list[Observed]:
    """Give the target's pixels the scores of the network of that source."""
    found = []
    for image in images:
        logits = image.logits + logs
        pixels = np.bincount(logits.argmax(1), minlength=len(logs))
        found.append(image._replace(logits=logits, predicted=pixels))
    return found


def miou(logits: np.ndarray, truth: np.ndarray) -> float:
    """Compute mIoU in percent, of pixels (P, K) over the classes there are."""
    known, size = truth >= 0, logits.shape[1]
    confusion = np.zeros((1, size, size))
    np.add.at(confusion[0], (truth[known], logits[known].argmax(1)), 1)
    return 100 * float(mean_of(iou_of(class_counts(confusion)))[0, 0])


def measure(
    source: Sequence[Observed],
    target: Sequence[Observed],
    seed: int,
    draw: int,
) -> dict:
    """Plant one shift, and re-weight by each estimate of the prior."""
    from gap.checks import estimate_priors, proven_prior
    from gap.prior import reweight

    logs = draw_shift(seed, draw, source[0].logits.shape[1])
    own = as_if_source(source, logs, np.random.default_rng((seed, draw, 1)))
    other = as_if_target(target, logs)
    prior = estimate_priors(own, other)
    truth = np.concatenate([image.truth for image in target])
    logits = np.concatenate([image.logits for image in other])
    real = np.bincount(truth[truth >= 0], minlength=len(logs))
    priors = {
        'taken': proven_prior(own, other, prior),
        'shrunk': prior.shrunk,
        'black_box': prior.black_box,
        'em': prior.em,
        'true': real / real.sum(),
    }
    scores = {
        'unshifted': miou(logits - logs, truth),
        'shifted': miou(logits, truth),
        **{
            name: miou(reweight(logits, prior.source, own), truth)
            for name, own in priors.items()
        },
    }
    rounded = {name: round(value, 2) for name, value in scores.items()}
    return {'town': seed, 'draw': draw, **rounded}


def summary(rows: Sequence[dict], least: float = 2.0) -> list[str]:
    """Say of each estimate what it brings back of what was lost.

    Args:
        rows: All cases.
        least: mIoU that a shift costs, so that the case counts.
    """
    lost = [row for row in rows if row['unshifted'] - row['shifted'] >= least]
    lines = [
        '| prior by | share, mean (least) | at least half |',
        '|---|--:|--:|',
    ]
    for name in [key for key in rows[0] if key not in NO_ESTIMATE]:
        back = [
            (row[name] - row['shifted']) / (row['unshifted'] - row['shifted'])
            for row in lost
        ]
        half = sum(share >= 0.5 for share in back)
        lines.append(
            f'| {name} | {np.mean(back):.0%} ({min(back):.0%}) | '
            f'{half} of {len(back)} |'
        )
    return lines


NO_ESTIMATE = {'town', 'draw', 'unshifted', 'shifted'}


def main() -> None:
    """Plant, re-weight and note."""
    # They lie beside the commands, a folder up.
    sys.path.append(str(Path(__file__).parents[1]))
    from decisions.frozen import open_config
    from gap.observe import observe

    args = parse_args()
    cfg = open_config(args)
    network = build_labeling_network(
        cfg,
        read_state(args.checkpoint),
        args.checkpoint,
        100,
        with_margin=False,
    )
    preprocessor = build_preprocessor(cfg, 'target')

    def look(dataset: dict, images: int | None = None) -> list[Observed]:
        indices = spread(dataset, images or len(dataset))
        samples = read_samples(dataset, indices)
        return [observe(network, preprocessor, sample) for sample in samples]

    source = look(source_dataset(cfg), args.source_images)
    rows = read_json(args.out)['mIoU'] if args.out.is_file() else []
    for seed in args.seeds:
        done = {row['draw'] for row in rows if row['town'] == seed}
        left = [draw for draw in range(args.draws) if draw not in done]
        if not left:
            continue
        root = args.towns / f'{seed}_none'
        if not (root / 'told').is_file():
            (root / 'told').write_text(plant(root, 'none', seed))
        part = {
            **cfg.val_dataloader.dataset,
            'data_root': str(root / 'cityscapes'),
        }
        target = look(build_dataset(part, 'val_dataloader.dataset'))
        rows += [measure(source, target, seed, draw) for draw in left]
        planted = f'each class of the source x {FACTOR}, x 1/{FACTOR} or x 1'
        write_json(args.out, {'planted': planted, 'mIoU': rows})
    print('\n'.join(summary(rows)))


if __name__ == '__main__':
    main()
