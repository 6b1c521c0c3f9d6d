# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Measure every method on minitown over several seeds.

    python tools/analysis/benchmark_minitown.py

repeats the quickstart for each seed, with the oracle (trained on target
labels) and with self-training by probability alone under the same budget,
and writes the table into ``docs/minitown.md``. Complete runs are reused.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from mmseg_cag.experiments.document import describe_machine, put_results
from mmseg_cag.experiments.minitown import ROOT, Budget, MinitownRuns

METHODS = {
    'source_only': 'source only',
    'self_training': 'self-training by probability > 0.95',
    'cag': 'CAG',
    'oracle': 'oracle (target labels)',
}


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1, 2])
    parser.add_argument('--data', type=Path, default='data/minitown')
    parser.add_argument('--work-dir', type=Path, default='work_dirs/benchmark')
    parser.add_argument(
        '--doc', type=Path, default=ROOT / 'docs' / 'minitown.md'
    )
    return parser.parse_args()


def measure(args: argparse.Namespace) -> dict[str, np.ndarray]:
    """Run all methods; returns target mIoU (seeds, stages) of each."""
    results: dict[str, list] = {name: [] for name in METHODS}
    for seed in args.seeds:
        folder = args.work_dir.resolve() / f'seed{seed}'
        runs = MinitownRuns(args.data.resolve(), folder, seed, Budget())
        runs.draw()
        for name in METHODS:
            runs.train(name)
            results[name].append(runs.evaluate(name))
    return {name: np.array(values) for name, values in results.items()}


def make_table(results: dict[str, np.ndarray], seeds: list[int]) -> str:
    """Write a Markdown table of mean, deviation and every seed."""
    lines = [
        '| network | mean | sd | '
        + ' | '.join(f'seed {seed}' for seed in seeds)
        + ' |',
        '|---|---|---|' + '---|' * len(seeds),
    ]
    for name, title in METHODS.items():
        for stage, values in enumerate(results[name].T, start=1):
            staged = results[name].shape[1] > 1
            label = f'{title}, stage {stage}' if staged else title
            spread = values.std(ddof=1) if len(values) > 1 else float('nan')
            cells = [values.mean(), spread, *values]
            lines.append(
                f'| {label} | ' + ' | '.join(f'{c:.1f}' for c in cells) + ' |'
            )
    return '\n'.join(lines)


def make_checks(results: dict[str, np.ndarray]) -> str:
    """State what the table shows, with the figures."""
    source, oracle = results['source_only'][:, 0], results['oracle'][:, 0]
    cag, rival = results['cag'], results['self_training'][:, -1]
    path = np.column_stack([source, cag])
    gains = cag[:, -1] - source
    drop = -np.diff(path, axis=1).min()
    lead = cag[:, -1] - rival
    return '\n'.join(
        [
            f'- Oracle above source only: {np.mean(oracle - source):+.1f}.',
            f"- CAG's last stage above source only: {gains.mean():+.1f} on "
            f'average, {gains.min():+.1f} on the worst seed.',
            f'- Largest fall from a stage to the next: {max(drop, 0):.1f}.',
            f"- CAG's last stage above self-training's: {lead.mean():+.1f} on "
            f'average, {lead.min():+.1f} on the worst seed.',
        ]
    )


def main() -> None:
    """Measure and put the table between the marks of the document."""
    args = parse_args()
    results = measure(args)
    parts = [
        make_table(results, args.seeds),
        make_checks(results),
        describe_machine(),
    ]
    text = '\n\n'.join(parts)
    put_results(args.doc, text)
    print(text)


if __name__ == '__main__':
    main()
