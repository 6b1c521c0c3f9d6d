# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Tabulate the final results of finished runs beside published ones.

    python tools/analysis/make_table.py work_dirs/cag/deeplabv2_gta2cs ...
    python tools/analysis/make_table.py CAG=work_dirs/a CAG=work_dirs/b

writes Markdown and LaTeX. Runs with the same name form one row, with mean and
standard deviation; so do unnamed runs that differ only in the seed.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from mmseg.utils import register_all_modules
from tables.finished_run import FinishedRun, read_run
from tables.render import to_latex, to_markdown
from tables.result_table import make_tables

from mmseg_cag.errors import exit_on_user_error


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        'runs',
        nargs='+',
        metavar='[NAME=]WORK_DIR',
        help="work dir of a finished run, optionally with its method's name",
    )
    parser.add_argument(
        '--out',
        type=Path,
        default='work_dirs/table',
        help='write the tables to OUT.md and OUT.tex',
    )
    return parser.parse_args()


def read_named(argument: str) -> tuple[str | None, FinishedRun]:
    """Read the run of an argument; an existing folder takes priority."""
    name, mark, folder = argument.partition('=')
    if not mark or Path(argument).is_dir():
        return None, read_run(Path(argument))
    return name, read_run(Path(folder))


def main() -> None:
    """Write and print the tables."""
    args = parse_args()
    register_all_modules()
    with exit_on_user_error():
        tables = make_tables(map(read_named, args.runs))
    args.out.parent.mkdir(parents=True, exist_ok=True)
    for suffix, render in (('.md', to_markdown), ('.tex', to_latex)):
        path = args.out.with_name(f'{args.out.name}{suffix}')
        path.write_text('\n'.join(map(render, tables)))
    print('\n'.join(map(to_markdown, tables)))
    print(f'{args.out}.md and {args.out}.tex written')


if __name__ == '__main__':
    main()
