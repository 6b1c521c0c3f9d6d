# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import argparse
import sys

from . import __doc__ as about
from .kinds import KINDS
from .run import run_rounds


def main() -> int:
    """Plant the faults, print the table; 1 if anything is lost."""
    parser = argparse.ArgumentParser('python -m tests.faults', None, about)
    parser.add_argument('--rounds', type=int, default=len(KINDS))
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument(
        '--only', nargs='+', choices=KINDS, default=list(KINDS), metavar='KIND'
    )
    args = parser.parse_args()

    def say(line: str) -> None:
        print(line, flush=True)

    table = run_rounds(args.rounds, args.seed, args.only, say)
    print(f'\n{table.render()}')
    return 1 if table.lost else 0


if __name__ == '__main__':
    sys.exit(main())
