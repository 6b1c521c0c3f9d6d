# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Measure every method on minitown over several seeds.

    python tools/benchmarks/benchmark_minitown.py

repeats the quickstart for each seed, with the methods that CAG is compared
with, self-training by probability alone and the oracle (trained on target
labels), and writes the table into ``docs/minitown.md``. Complete runs are
reused.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from document import describe_machine, put_results

from mmseg_cag.minitown.child import exit_on_signals
from mmseg_cag.minitown.loops import MinitownLoops
from mmseg_cag.minitown.runs import ROOT, Budget

METHODS = {
    'source_only': 'source only',
    'self_training': 'self-training by probability > 0.95',
    'adaptsegnet': 'AdaptSegNet',
    'clan': 'CLAN',
    'bdl_loop': 'BDL, second round',
    'cag': 'CAG',
    'cag_adversarial': 'CAG from AdaptSegNet',
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
    parser.add_argument(
        '--methods',
        nargs='+',
        choices=METHODS,
        default=list(METHODS),
        help='rows of the table; cag_adversarial starts from adaptsegnet',
    )
    return parser.parse_args()


def measure(args: argparse.Namespace) -> dict[str, np.ndarray]:
    """Run the methods; returns target mIoU (seeds, stages) of each."""
    results: dict[str, list] = {name: [] for name in args.methods}
    for seed in args.seeds:
        folder = args.work_dir.resolve() / f'seed{seed}'
        runs = MinitownLoops(args.data.resolve(), folder, seed, Budget())
        runs.draw()
        for name in args.methods:
            results[name].append(measure_one(runs, name))
    return {name: np.array(values) for name, values in results.items()}


def measure_one(runs: MinitownLoops, name: str) -> list[float]:
    """Run one method; returns target mIoU of its stages, or its last."""
    if not name.endswith('_loop'):
        runs.train(name)
        return runs.evaluate(name)
    runs.train_loop(name)
    *_, last = runs.evaluate_loop(name).values()
    return [last]


def make_table(results: dict[str, np.ndarray], seeds: list[int]) -> str:
    """Write a Markdown table of mean, deviation and every seed."""
    lines = [
        '| network | mean | sd | '
        + ' | '.join(f'seed {seed}' for seed in seeds)
        + ' |',
        '|---|---|---|' + '---|' * len(seeds),
    ]
    for name, stages in results.items():
        for stage, values in enumerate(stages.T, start=1):
            title = METHODS[name]
            label = f'{title}, stage {stage}' if len(stages.T) > 1 else title
            spread = values.std(ddof=1) if len(values) > 1 else float('nan')
            cells = [values.mean(), spread, *values]
            lines.append(
                f'| {label} | ' + ' | '.join(f'{c:.1f}' for c in cells) + ' |'
            )
    return '\n'.join(lines)


def make_checks(results: dict[str, np.ndarray]) -> str:
    """State what each method gains, with the figures."""
    source = results['source_only'][:, 0]
    lines = []
    for name, stages in results.items():
        if name == 'source_only':
            continue
        gains = stages[:, -1] - source
        lines.append(
            f'- {METHODS[name]}, last checkpoint above source only: '
            f'{gains.mean():+.1f} on average, {gains.min():+.1f} on the worst '
            'seed.'
        )
    for name in ('cag', 'cag_adversarial'):
        if name in results:
            drop = -np.diff(results[name], axis=1).min()
            lines.append(
                f'- {METHODS[name]}, largest fall from a stage to the next: '
                f'{max(drop, 0):.1f}.'
            )
    return '\n'.join(lines)


def main() -> None:
    """Measure and put the table between the marks of the document."""
    args = parse_args()
    exit_on_signals()
    args.methods = sorted({'source_only', *args.methods}, key=[*METHODS].index)
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
