# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections import Counter, defaultdict
from pathlib import Path
from tempfile import TemporaryDirectory

from mmseg.utils import register_all_modules
from rich.console import Console

from mmseg_cag.progress import track

from .campaign import campaign
from .readers import Reader, all_readers
from .trial import FAULTS, READ, REFUSED, Outcome, reader_of, try_input


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description='Give damaged and hostile files to every reader'
    )
    parser.add_argument('--inputs', type=int, default=10_000)
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--only', default='', help='readers of this kind')
    parser.add_argument(
        '--input', type=int, help='this one alone, in this process'
    )
    return parser.parse_args()


def main() -> int:
    """Run the campaign; returns 1 if a reader failed."""
    args = parse_args()
    warnings.simplefilter('ignore')
    register_all_modules(init_default_scope=True)
    console = Console()
    with TemporaryDirectory() as scratch:
        readers = [
            r for r in all_readers(Path(scratch)) if args.only in r.kind
        ]
        if args.input is not None:
            folder = Path(scratch, 'one')
            outcome = try_input(readers, args.seed, args.input, folder)
            console.print(outcome)
            return int(outcome.kind in FAULTS)
        start = time.monotonic()
        tried = campaign(readers, args.seed, range(args.inputs))
        notes = Console(stderr=True)
        outcomes = []
        try:
            for outcome in track(tried, 'inputs', args.inputs, notes):
                outcomes.append(outcome)
        except KeyboardInterrupt:  # what there is by then is told
            pass
    for outcome in sorted(outcomes, key=lambda outcome: outcome.number):
        if outcome.kind in FAULTS:
            line = f'{outcome.number} {outcome.kind}: {outcome.message}'
            console.print(line, markup=False, soft_wrap=True)
    for line in table(outcomes, readers):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    seconds = round(time.monotonic() - start)
    console.print(f'{len(outcomes)} inputs, seed {args.seed}, {seconds} s')
    return int(any(outcome.kind in FAULTS for outcome in outcomes))


def table(outcomes: list[Outcome], readers: list[Reader]) -> list[str]:
    """Count the outcomes of each kind of file, as Markdown."""
    counts: dict[str, Counter] = defaultdict(Counter)
    for outcome in outcomes:
        kind = reader_of(readers, outcome.number).kind
        counts[kind][outcome.kind] += 1
    counts['all'] = sum(counts.values(), Counter())
    names = READ, REFUSED, *FAULTS
    lines = [
        f'| files | inputs | {" | ".join(names)} |',
        '|---|' + '---:|' * (len(names) + 1),
    ]
    for kind, count in counts.items():
        cells = ' | '.join(str(count[name]) for name in names)
        lines.append(f'| {kind} | {count.total()} | {cells} |')
    return lines


if __name__ == '__main__':
    sys.exit(main())
