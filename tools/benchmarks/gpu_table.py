# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Make tables of the results of gpu_day.sh.

    python tools/benchmarks/gpu_table.py DIR [DIR ...] --doc FILE

prints them in Markdown, one day after another, each with its GPU, date and
versions, and inserts them between the marks of a document.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from document import put_results
from gpu_day.tables import to_markdown

from mmseg_cag.errors import UserError, exit_on_user_error

JSON = 'gpu_day.json'


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument(
        'dirs',
        type=Path,
        nargs='+',
        metavar='DIR',
        help='results folders of gpu_day.sh, in the order of the tables',
    )
    parser.add_argument('--doc', type=Path, help='write the tables here')
    parser.add_argument(
        '--price', type=float, help='price of a GPU hour; adds the cost'
    )
    return parser.parse_args()


def read(folder: Path) -> dict:
    """Read the results of a day.

    Raises:
        UserError: There are no results.
    """
    path = folder / JSON
    try:
        found = json.loads(path.read_text())
        found['parts']
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f'{path}: expected the results of gpu_day.sh: {error}'
        ) from error
    return found


def main() -> None:
    """Print the tables and write them."""
    args = parse_args()
    with exit_on_user_error():
        days = [read(folder) for folder in args.dirs]
        text = '\n\n'.join(to_markdown(day, price=args.price) for day in days)
        if args.doc:
            put_results(args.doc, text)
    print(text)


if __name__ == '__main__':
    main()
