# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Plant gaps in a town and record what check_gap.py reports.

    python tools/benchmarks/benchmark_gap.py CONFIG CHECKPOINT --seeds 31 32

Each case is a small JSON in ``docs/results/check_gap`` or ``--out``; existing
ones are not measured again.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from gaps.plant import GAPS, plant

from mmseg_cag.analysis.runs.labeling_network import build_labeling_network
from mmseg_cag.analysis.runs.network import build_preprocessor, read_state
from mmseg_cag.analysis.runs.samples import (
    build_dataset,
    read_samples,
    source_dataset,
)
from mmseg_cag.datasets.dataset_configs import class_info, spread
from mmseg_cag.fileio.json_file import write_json

if TYPE_CHECKING:
    from gap.checks import Finding

RESULTS = Path(__file__).parents[2] / 'docs/results/check_gap'
# Expected first finding of check_gap.py.
EXPECTED = {
    'none': None,
    'prior': 'class prior',
    'removed': 'absent class',
    'scale': 'object scale',
    'cast': 'colour',
    'brightness': 'brightness',
}
OF_A_CLASS = ('class prior', 'absent class')


def is_right(gap: str, planted: str, first: Finding | None) -> bool:
    """Check that the first finding is the planted gap, and of its class."""
    if (first and first.name) != EXPECTED[gap]:
        return False
    if EXPECTED[gap] not in OF_A_CLASS:
        return True
    named, _ = first.text.split(' x ', 1)
    return named in (planted.removesuffix(' x 5'), planted.removeprefix('no '))


def main() -> None:
    """Plant, check and record."""
    # These modules are beside the commands, a folder up.
    sys.path.append(str(Path(__file__).parents[1]))
    from check_gap import classes_without_labels, verdict_of
    from decisions.frozen import add_arguments, open_config
    from gap.checks import check, estimate_priors
    from gap.observe import observe

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_arguments(parser)
    parser.add_argument('--seeds', nargs='+', type=int, required=True)
    parser.add_argument('--towns', type=Path, default=Path('data/gaps'))
    parser.add_argument('--source-images', type=int, default=160)
    parser.add_argument('--out', type=Path, default=RESULTS)
    args = parser.parse_args()
    cfg = open_config(args)
    classes = list(class_info(cfg)['classes'])
    network = build_labeling_network(
        cfg,
        read_state(args.checkpoint),
        args.checkpoint,
        100,
        with_margin=False,
    )
    preprocessor = build_preprocessor(cfg, 'target')
    part = source_dataset(cfg)
    indices = spread(part, args.source_images)
    source = [
        observe(network, preprocessor, s) for s in read_samples(part, indices)
    ]
    labelled = sum(image.confusion for image in source).sum(1)
    missing = np.flatnonzero(labelled == 0).tolist()
    unknown = [classes[k] for k in classes_without_labels(part, missing)]
    for seed in args.seeds:
        for gap in GAPS:
            path = args.out / f'{gap}_{seed}.json'
            if path.is_file():
                continue
            root = args.towns / f'{seed}_{gap}'
            told = root / 'told'
            if not told.is_file():
                told.write_text(plant(root, gap, seed))
            images = build_dataset(
                {
                    **cfg.val_dataloader.dataset,
                    'data_root': str(root / 'cityscapes'),
                },
                'val_dataloader.dataset',
            )
            target = [
                observe(network, preprocessor, s)
                for s in read_samples(images, list(range(len(images))))
            ]
            prior = estimate_priors(source, target)
            findings = check(source, target, classes, prior)
            proven = [f for f in findings if f.score >= 1]
            first = proven[0] if proven else None
            verdict, _ = verdict_of(source, target, findings, unknown)
            planted_gap = told.read_text()
            row = {
                'gap': gap,
                'planted': planted_gap,
                'named': first and first.name,
                'right': is_right(gap, planted_gap, first),
                'verdict': verdict,
                'findings': [
                    {'text': f.text, 'score': round(f.score, 2)}
                    for f in findings
                ],
            }
            write_json(path, row)
            print(json.dumps(row['planted']), row['named'], flush=True)


if __name__ == '__main__':
    main()
