# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Compare ``margin='auto'`` with fixed margins on minitown.

    python tools/benchmarks/sweep_margin.py

trains CAG from the same source-only network with each margin, for two
networks, and writes target mIoU into ``docs/margin.md``. Finished runs are
reused, so seeds and margins can be added later.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from document import describe_machine, put_results

from mmseg_cag.minitown.runs import ROOT, Budget, MinitownRuns

# The CAG config of each network.
NETWORKS = {
    'cag': 'EfficientNet-Lite0, SegFormer head',
    'cag_lite2': 'EfficientNet-Lite2, FPN',
}
KEY = 'model.pseudo_label_head.margin'


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1])
    parser.add_argument(
        '--margins', type=float, nargs='+', default=[0, 0.5, 1, 2, 4, 8]
    )
    parser.add_argument('--data', type=Path, default='data/minitown')
    parser.add_argument('--work-dir', type=Path, default='work_dirs/margin')
    parser.add_argument('--doc', type=Path, default=ROOT / 'docs/margin.md')
    return parser.parse_args()


def measure(
    config: str, args: argparse.Namespace
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Train with each margin, for each seed.

    Returns:
        Target mIoU of source-only (seeds,) and, by margin, of CAG's stages
        (seeds, stages).
    """
    margins = {'auto': 'auto', **{f'{m:g}': m for m in args.margins}}
    variants = {
        f'{config}_{name}': (config, {KEY: margin})
        for name, margin in margins.items()
    }
    start: list[float] = []
    results: dict[str, list] = {name: [] for name in margins}
    for seed in args.seeds:
        folder = args.work_dir.resolve() / f'seed{seed}'
        runs = MinitownRuns(
            args.data.resolve(), folder, seed, Budget(), variants
        )
        runs.draw()
        source_only = config.replace('cag', 'source_only')
        runs.train(source_only)
        start += runs.evaluate(source_only)
        for name in margins:
            runs.train(f'{config}_{name}')
            results[name].append(runs.evaluate(f'{config}_{name}'))
    by_margin = {name: np.array(value) for name, value in results.items()}
    return np.array(start), by_margin


def make_table(
    start: np.ndarray, results: dict[str, np.ndarray], seeds: list[int]
) -> str:
    """Write a Markdown table of the last stage, by margin."""
    heads = ['margin', 'mean', *(f'seed {seed}' for seed in seeds)]
    rows = {'(source only)': start}
    rows |= {name: values[:, -1] for name, values in results.items()}
    lines = ['| ' + ' | '.join(heads) + ' |', '|---' * len(heads) + '|']
    for name, values in rows.items():
        cells = [f'{value:.1f}' for value in (values.mean(), *values)]
        lines.append('| ' + ' | '.join([name, *cells]) + ' |')
    means = {name: rows[name].mean() for name in results}
    fixed = {name: mean for name, mean in means.items() if name != 'auto'}
    best = max(fixed, key=fixed.get)
    gap = means['auto'] - fixed[best]
    lines += ['', f'`auto` against the best fixed margin, {best}: {gap:+.1f}.']
    return '\n'.join(lines)


def main() -> None:
    """Sweep and insert the tables between the document's marks."""
    args = parse_args()
    parts = []
    for config, title in NETWORKS.items():
        table = make_table(*measure(config, args), args.seeds)
        parts.append(f'## {title}\n\n{table}')
    text = '\n\n'.join([*parts, describe_machine()])
    put_results(args.doc, text)
    print(text)


if __name__ == '__main__':
    main()
