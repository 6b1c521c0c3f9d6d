# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Split a training step of each method into passes and the rest, on the CPU.

    python tools/benchmarks/benchmark_steps.py

Passes are the forward passes of the networks, the heads' cross entropies, and
the backward pass. Both are measured in the same steps, so that other load
affects both.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from document import describe_machine
from mmseg.utils import register_all_modules
from rich.console import Console
from rich.progress import track
from rich.table import Table
from speed.step_parts import measure_parts

from mmseg_cag.engine.runtime.malloc_hook import keep_freed_memory
from mmseg_cag.launch.cfg_options import load_or_exit
from mmseg_cag.minitown.runs import ROOT

METHODS = (
    'cag', 'dacs', 'daformer', 'hrda', 'mic', 'mic_daformer', 'mic_hrda',
    'proda', 'anchor_teacher', 'foreign_anchors',
)  # fmt: skip
HEADS = ('config', 'step, ms', 'step / passes', 'forward passes',
         'the rest, ms')  # fmt: skip
# Shorter parts are summed up.
LEAST_MS = 1.0


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    folder = ROOT / 'configs/minitown'
    parser.add_argument(
        'configs', nargs='*', type=Path, metavar='CONFIG',
        default=[folder / f'{name}.py' for name in METHODS],
        help="configs (default: minitown's methods)",
    )  # fmt: skip
    parser.add_argument('--threads', type=int, default=1, help='default: 1')
    parser.add_argument('--rounds', type=int, default=11, help='default: 11')
    parser.add_argument('--json', type=Path, help='write the results here')
    parser.add_argument('--markdown', type=Path, help='write the table here')
    return parser.parse_args()


def make_rows(results: dict[str, dict]) -> list[list[str]]:
    """Make the rows of the table."""
    rows = []
    for name, found in results.items():
        ratio = found['ratio']
        calls = [f'{n} {part}' for part, n in found['calls'].items() if n]
        parts = sorted(found['parts'].items(), key=lambda part: -part[1])
        told = [f'{part} {ms:.1f}' for part, ms in parts if ms >= LEAST_MS]
        small = sum(ms for _, ms in parts if ms < LEAST_MS)
        if small:
            told.append(f'less than {LEAST_MS:g} each {small:.1f}')
        rows.append(
            [
                name,
                f'{found["whole"]["median"]:.0f}',
                f'{ratio["median"]:.2f} '
                f'({ratio["p10"]:.2f} - {ratio["p90"]:.2f})',
                ', '.join(calls),
                ', '.join(told),
            ]
        )
    return rows


def main() -> None:
    """Measure, print and write."""
    args = parse_args()
    register_all_modules()
    configs = {path.stem: load_or_exit(path) for path in args.configs}
    torch.set_num_threads(args.threads)
    keep_freed_memory()  # as in training
    results = {
        name: measure_parts(cfg, rounds=args.rounds)
        for name, cfg in track(configs.items(), 'Measure steps')
    }
    machine = f'{describe_machine()} {torch.get_num_threads()} threads.'
    if args.json:
        text = json.dumps(dict(machine=machine, steps=results), indent=1)
        args.json.parent.mkdir(parents=True, exist_ok=True)
        args.json.write_text(text + '\n')
    rows = make_rows(results)
    if args.markdown:
        lines = [HEADS, ['---'] * len(HEADS), *rows]
        table = ['| ' + ' | '.join(line) + ' |' for line in lines]
        args.markdown.parent.mkdir(parents=True, exist_ok=True)
        args.markdown.write_text('\n'.join([*table, '', machine, '']))
    table = Table(*HEADS)
    for row in rows:
        table.add_row(*row)
    console = Console()
    console.print(table)
    console.print(machine, highlight=False)


if __name__ == '__main__':
    main()
