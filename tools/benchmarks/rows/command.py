# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Command of a benchmark: plan the rows, measure missing ones."""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from document import put_results, require_page
from mmengine.logging import MMLogger

from mmseg_cag.errors import UserError, exit_on_user_error
from mmseg_cag.minitown.child import exit_on_signals
from mmseg_cag.minitown.pairs import PAIRS, ROOT, Budget, Pair

from .machine import machine_class
from .measure import Place
from .methods import (
    REESTIMATED,
    THREE,
    VARIANTS,
    Row,
    Variant,
    default_words,
    plan_rows,
    read_variants,
)
from .schedule import Job, run_jobs
from .store import is_measured, last_miou, path_of, read_rows, write_row
from .tables import BEFORE, STALE, write_tables
from .work import do_row

RESULTS = ROOT / 'docs' / 'results'


def parse_args(doc: str, pairs: Sequence[str]) -> argparse.Namespace:
    """Read the command line.

    Args:
        doc: Description of the program.
        pairs: The default pairs.
    """
    parser = argparse.ArgumentParser(description=doc.split('\n')[0])
    add = parser.add_argument
    add('--pairs', nargs='+', choices=list(PAIRS), default=list(pairs))
    add(
        '--methods',
        nargs='+',
        metavar='[PAIR/]NAME[:SEEDS]',
        help='rows in their order: names of configs, with seeds as in '
        'mic:0,1, or with -bn for the network with statistics re-estimated '
        'on the target; those that a row starts from come by themselves '
        '(default: all)',
    )
    add('--seeds', type=int, nargs='+', default=list(THREE))
    add(
        '--variants',
        type=Path,
        default=VARIANTS,
        help='JSON of further rows, which --methods may name',
    )
    add('--jobs', type=int, default=1, help='runs at a time')
    add('--workers', type=int, help='processes that load data for a run')
    add('--minutes', type=float, help='stop after this time')
    add('--data', type=Path, default=Path('data'), help='folder of the towns')
    add('--work-dir', type=Path, default=Path('work_dirs/benchmark'))
    add(
        '--results',
        type=Path,
        default=RESULTS,
        help='folder of the rows; with one of your own the tables are only '
        'printed',
    )
    add('--images', type=int, nargs=4, help='drawn, as of the quickstart')
    add('--size', type=int, nargs=2, metavar=('H', 'W'))
    add('--supervised-iters', type=int)
    add('--stage-iters', type=int)
    add(
        '--list',
        metavar='MACHINE',
        help='name the runs that a machine, by its folder of results such as '
        'nvidia-h200, would begin with these options, and measure none',
    )
    add(
        '--table-only',
        action='store_true',
        help='write the tables of the rows there are into the documents',
    )
    add('--doc', type=Path, help='document of one pair, not its own page')
    return parser.parse_args()


def main(doc: str, pairs: Sequence[str]) -> None:
    """Measure, and insert the tables between the documents' marks."""
    args = parse_args(doc, pairs)
    exit_on_signals()
    with exit_on_user_error():
        run(args)


def run(args: argparse.Namespace) -> None:
    """Run the command."""
    variants = read_variants(args.variants)
    pairs = [PAIRS[name] for name in args.pairs]
    if args.doc and len(pairs) > 1:
        raise UserError('--doc: expected one pair, each has a page')
    if args.doc:
        require_page(args.doc)
    # mmengine logs each environment variable of each config.
    MMLogger.get_current_instance().setLevel('WARNING')
    lost = [] if args.table_only else measure_rows(args, pairs, variants)
    if args.list:
        return
    for pair in pairs:
        rows = read_rows(args.results, pair.name)
        mark(make_place(args, variants), rows)
        retitle(variants, rows)
        text = write_tables(rows)
        page = args.doc or pair.page
        # Rows kept elsewhere do not belong to the project's pages.
        if page and (args.doc or args.results.resolve() == RESULTS):
            put_results(page, text)
        print(f'\n{pair.name}\n\n{text}')
    if lost:
        raise UserError(f'{len(lost)} rows are missing: {", ".join(lost)}')


def mark(place: Place, rows: dict[str, list[dict]]) -> None:
    """Mark rows by their configs of now.

    Those that would be measured again, by their identity, and those whose
    stages follow the stages of another run.
    """
    now: dict[tuple, tuple[str | None, int]] = {}
    for content in [row for found in rows.values() for row in found]:
        name, variants = content['name'], dict(place.variants)
        if content.get('variant'):
            base = name.removesuffix(REESTIMATED)
            variants[base] = Variant(**content['variant'])
        key = (name, json.dumps(content.get('variant')))
        if key not in now:
            runs = replace(place, variants=variants).runs(content['pair'], 0)
            try:
                now[key] = runs.identity(name), runs.stages_before(name)
            # A config or setting that no longer exists.
            except (UserError, OSError):
                now[key] = None, 0
        identity, content[BEFORE] = now[key]
        content[STALE] = identity != content['config']


def retitle(variants: dict[str, Variant], rows: dict[str, list[dict]]) -> None:
    """Give rows of variants the titles that these have now.

    Not to rows whose settings have changed since: `mark` comes first.
    """
    for content in [row for found in rows.values() for row in found]:
        now = variants.get(content['name'].removesuffix(REESTIMATED))
        if now and content.get('variant') and not content[STALE]:
            content['variant']['title'] = now.title


def measure_rows(
    args: argparse.Namespace, pairs: Sequence[Pair], variants: dict
) -> list[str]:
    """Measure the missing rows; returns those still missing."""
    begun = time.monotonic()
    words = args.methods or default_words(pairs)
    rows = plan_rows(pairs, words, args.seeds, variants)
    if args.jobs > 1:
        # More threads would wait for each other.
        os.environ.setdefault('OMP_NUM_THREADS', '1')
    machine = args.list or machine_class()
    place = make_place(args, variants)
    jobs = list_jobs(place, rows, machine)
    if args.list or not jobs:
        print(*(job.title for job in jobs), sep='\n')
        print(f'{len(jobs)} runs' if jobs else 'All rows are there')
        return []
    for pair in pairs:
        pair.require_given()
        place.runs(pair.name, 0).draw()
    print(f'{len(jobs)} runs on {machine}, {args.jobs} at a time', flush=True)
    deadline = None if args.minutes is None else begun + 60 * args.minutes
    outcome = run_jobs(
        jobs,
        do_row,
        args.jobs,
        deadline,
        args.work_dir / 'logs' if args.jobs > 1 else None,
        partial(tell, place.results, begun),
    )
    return [str(key) for key in [*outcome.failed, *outcome.left]]


def make_place(args: argparse.Namespace, variants: dict) -> Place:
    """Collect folders and options of the runs."""
    budgets = {}
    for name, pair in PAIRS.items():
        budgets[name] = Budget(
            tuple(args.images or pair.budget.images),
            tuple(args.size or pair.budget.size),
            args.supervised_iters,
            args.stage_iters,
            pair.budget.seed,
        )
    return Place(
        {name: args.data.resolve() / name for name in PAIRS},
        args.work_dir.resolve(),
        args.results.resolve(),
        budgets,
        variants,
        args.workers,
    )


def list_jobs(place: Place, rows: Sequence[Row], machine: str) -> list[Job]:
    """List the runs for missing rows, starts before the others.

    A start whose network is missing is trained again; its row is kept.
    """
    jobs: dict[Row, Job] = {}
    # With any seed: neither settings nor starts differ.
    runs = {pair: place.runs(pair, 0) for pair in {row.pair for row in rows}}

    def add(row: Row) -> Row:
        if row in jobs:
            return row
        needed = runs[row.pair].needs(row.name)
        after = [add(Row(row.pair, name, row.seed)) for name in needed]
        jobs[row] = Job(row, str(row), (place, row), after)
        return row

    for row in rows:
        path = path_of(place.results, machine, row)
        if not is_measured(path, runs[row.pair].identity(row.name)):
            add(row)
    return list(jobs.values())


def tell(
    results: Path,
    begun: float,
    job: Job,
    good: bool,
    found: Any,
    seconds: float,
) -> None:
    """Write a finished row to its file and report it."""
    clock = f'{time.monotonic() - begun:5.0f} s'
    if not good:
        print(f'{clock}  {job.title}: FAILED, {found}', flush=True)
        return
    score = f'{last_miou(found):.1f} in {seconds:.0f} s'
    step = found.get('seconds_per_step')
    pace = f', {step:.3f} s a step' if step else ''
    print(f'{clock}  {job.title}: {score}{pace}', flush=True)
    path = path_of(results, found['machine']['class'], job.key)
    # A row that others are compared with is not replaced.
    if not is_measured(path, found['config']):
        write_row(results, found)
