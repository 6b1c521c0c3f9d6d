# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Time the quickstart beside busy processes, by thread wait policy.

    python tools/benchmarks/benchmark_waiting.py --neighbours 0 2

runs it from scratch for each number of neighbours and each policy, on towns
drawn once, and prints a table. Options after ``--`` are the quickstart's, such
as ``-- --supervised-iters 60 --adapt-iters 45`` for a tenth of it.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from document import describe_machine
from rich.console import Console
from rich.table import Table

from mmseg_cag.minitown.runs import ROOT

# Whether waiting threads sleep at once or spin for a while first.
POLICIES = {'passive': {'OMP_WAIT_POLICY': 'PASSIVE'}, 'default': {}}


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument(
        '--neighbours', type=int, nargs='+', default=[0, 2], metavar='N'
    )
    parser.add_argument('--data', type=Path, default='data/minitown')
    parser.add_argument(
        'options', nargs='*', help='of tools/quickstart.py, after --'
    )
    return parser.parse_args()


@contextmanager
def busy(count: int) -> Iterator[None]:
    """Run this many busy processes."""
    command = [sys.executable, '-c', 'while True: pass']
    started = [subprocess.Popen(command) for _ in range(count)]
    try:
        yield
    finally:
        for process in started:
            process.kill()
            process.wait()


def quickstart(
    data: Path, options: list[str], policy: str
) -> dict[str, float]:
    """Run the quickstart from scratch; returns the seconds of its steps."""
    tool = ROOT / 'tools' / 'quickstart.py'
    with TemporaryDirectory() as folder:
        places = ['--data', data, '--work-dir', folder]
        subprocess.run(
            [sys.executable, tool, *places, *options],
            check=True,
            env={**os.environ, **POLICIES[policy]},
            stdout=subprocess.DEVNULL,
        )
        summary = json.loads(Path(folder, 'summary.json').read_text())
    return {k: v for k, v in summary['seconds'].items() if k != 'towns'}


def main() -> None:
    """Measure and print the table."""
    args = parse_args()
    table = Table('busy neighbours', 'threads wait')
    for name in ('source_only', 'cag', 'evaluation', 'all'):
        table.add_column(f'{name}, s', justify='right')
    for count in args.neighbours:
        for policy in POLICIES:
            with busy(count):
                seconds = quickstart(args.data, args.options, policy)
            times = [*seconds.values(), sum(seconds.values())]
            table.add_row(str(count), policy, *(f'{t:.0f}' for t in times))
    Console().print(table)
    print(describe_machine())


if __name__ == '__main__':
    main()
