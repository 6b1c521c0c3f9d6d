# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Train with increasing numbers of target labels and plot the gain.

    python tools/label_curve.py CONFIG --labels 0 10 40 --by anchors random

Each finished run is a row, a small JSON; existing rows are not measured again.
The labelled images of a run are the first ones of one ranking, so a larger
number includes the images of a smaller one.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from benchmarks.document import put_results, require_page
from benchmarks.rows.machine import machine_class
from benchmarks.rows.schedule import Job, run_jobs
from benchmarks.rows.store import (
    is_measured,
    last_miou,
    path_of,
    read_rows,
    write_row,
)
from command_line import add_cfg_options
from curve.ranking import find_candidates
from curve.runs import CERTIFY, CHOOSE, ORACLE, TEST, Choice, Curve, Run
from curve.show import draw, one_machine_a_seed, write_table
from curve.work import do, require_fair_oracle
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope
from selection.rank import WAYS

from mmseg_cag.datasets.roles import read_roles
from mmseg_cag.errors import MissingFileError, UserError, exit_on_user_error
from mmseg_cag.launch.cfg_options import load_or_exit, parse_options
from mmseg_cag.minitown.child import exit_on_signals


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add('config', help='config of a method with a few labels')
    add('--alone', help='config of a training on only the few labels')
    add('--oracle', help='config of a training on all labels')
    add('--labels', type=int, nargs='+', default=[0, 5, 10, 20, 40])
    add(
        '--by',
        nargs='+',
        choices=WAYS,
        default=['anchors', 'random'],
        help='ways to choose the labelled images',
    )
    add('--seeds', type=int, nargs='+', default=[0])
    add(
        '--roles',
        help='roles file, whose images to choose and certify are never '
        'trained on (default: that of the config, if it exists)',
    )
    add(
        '--score-on',
        choices=(CHOOSE, CERTIFY, TEST),
        help='images to score on (default: those to choose by if there are '
        'any, else test_dataloader)',
    )
    add('--images', type=int, default=1000, help='examined for a choice')
    add('--work-dir', type=Path, default=Path('work_dirs/label_curve'))
    add('--results', type=Path, help='folder of the rows (default: in it)')
    add('--jobs', type=int, default=1, help='runs at a time')
    add('--workers', type=int, help='processes that load data for a run')
    add('--minutes', type=float, help='stop after this time')
    add('--list', action='store_true', help='name the runs and measure none')
    add('--table-only', action='store_true', help='show the existing rows')
    add('--doc', type=Path, help='page that gets the tables of all curves')
    add_cfg_options(
        parser, 'override settings of CONFIG: key.of.config=value ...'
    )
    args = parser.parse_args()
    for name in ('labels', 'seeds'):
        if min(getattr(args, name)) < 0:
            parser.error(f'--{name}: expected numbers from 0 on')
    if args.images < 1 or args.jobs < 1:
        parser.error('--images, --jobs: expected 1 or more')
    args.results = args.results or args.work_dir / 'results'
    return args


def make_curve(args: argparse.Namespace) -> Curve:
    """Plan what to measure, on which images.

    Raises:
        UserError: A config or a file is wrong, or there are too few images.
    """
    cfg = load_or_exit(args.config)
    for path in filter(None, (args.alone, args.oracle)):
        load_or_exit(path)
    init_default_scope(cfg.get('default_scope', 'mmseg'))
    roles = args.roles or cfg.get('roles')
    if args.roles and not Path(args.roles).is_file():
        raise MissingFileError(f'{roles}: not found, expected a roles file')
    if roles and not Path(roles).is_file():
        roles = None
    given = read_roles(roles).images if roles else {}
    score_on = args.score_on or (CHOOSE if given.get(CHOOSE) else TEST)
    if score_on != TEST and not given.get(score_on):
        raise UserError(
            f'--score-on {score_on}: no file of roles has images of that role,'
            ' expected some (tools/assign_roles.py)'
        )
    curve = Curve(
        args.config,
        args.alone,
        args.oracle,
        args.work_dir.resolve() / Path(args.config).stem,
        tuple(sorted({*args.labels})),
        parse_options(args.cfg_options or ()),
        roles and str(Path(roles).resolve()),
        score_on,
        images=args.images,
        workers=args.workers,
    )
    ways = {*args.by} - {'random'}
    if any(curve.labels) and ways and not curve.start():
        raise UserError(
            f'{args.config}: start_from is not set, expected the network that '
            f'images are chosen by, or --by random in the place of '
            f'{", ".join(sorted(ways))}'
        )
    return find_candidates(curve)


def list_jobs(
    curve: Curve, runs: Sequence[Run], results: Path, machine: str
) -> list[Job]:
    """List the jobs for missing rows.

    A start whose network is missing is trained again; its row is kept.
    """
    jobs: dict[Run | Choice, Job] = {}

    def add(what: Run | Choice) -> Run | Choice:
        if what not in jobs:
            after = [add(one) for one in curve.needs(what)]
            jobs[what] = Job(what, title(what), (curve, what), after)
        return what

    for run in runs:
        path = path_of(results, machine, curve.row(run))
        if not is_measured(path, curve.identity(run)):
            add(run)
    return list(jobs.values())


def title(what: Run | Choice) -> str:
    """Return the display name of a run or a choice."""
    if isinstance(what, Choice):
        return f'images {what.by} seed {what.seed}'
    return f'{what.name} seed {what.seed}'


def tell(
    results: Path,
    begun: float,
    job: Job,
    good: bool,
    found: dict | str,
    seconds: float,
) -> None:
    """Write a finished row to its file and report it."""
    clock = f'{time.monotonic() - begun:5.0f} s  {job.title}'
    if not good:
        print(f'{clock}: FAILED, {found}', flush=True)
        return
    if isinstance(job.key, Choice):
        print(f'{clock}: {found["folder"]}', flush=True)
        return
    ends = '{:.1f}, {:.1f}'.format(*found['interval'])
    pace = found.get('seconds_per_step')
    step = f', {pace:.3f} s a step' if pace else ''
    print(
        f'{clock}: {last_miou(found):.1f} [{ends}] in {seconds:.0f} s{step}',
        flush=True,
    )
    path = path_of(
        results, found['machine']['class'], job.argument[0].row(job.key)
    )
    # A row that others are compared with is not replaced.
    if not is_measured(path, found['config']):
        write_row(results, found)


def measure(args: argparse.Namespace) -> list[str]:
    """Measure the missing rows; returns those still missing."""
    begun = time.monotonic()
    curve = make_curve(args)
    runs = curve.runs(args.by, args.seeds)
    jobs = list_jobs(curve, runs, args.results, machine_class())
    if args.list or not jobs:
        print(*(job.title for job in jobs), sep='\n')
        print(f'{len(jobs)} to do' if jobs else 'All rows are there')
        return []
    if ORACLE in {getattr(job.key, 'setting', None) for job in jobs}:
        require_fair_oracle(curve)
    if args.jobs > 1:
        # More threads would wait for each other.
        os.environ.setdefault('OMP_NUM_THREADS', '1')
    print(f'{len(jobs)} to do, {args.jobs} at a time', flush=True)
    outcome = run_jobs(
        jobs,
        do,
        args.jobs,
        None if args.minutes is None else begun + 60 * args.minutes,
        args.work_dir / 'logs' if args.jobs > 1 else None,
        partial(tell, args.results, begun),
    )
    return [title(key) for key in [*outcome.failed, *outcome.left]]


def show(args: argparse.Namespace) -> None:
    """Print the curve, plot it, and put all curves into the page."""
    name = Path(args.config).stem
    rows = comparable_rows(args, name)
    if rows:
        picture = args.work_dir / f'{name}.png'
        draw(rows, name, picture)
        print(f'\n{write_table(rows)}\n\n{picture} written')
    if args.doc:
        others = sorted(path.name for path in args.results.glob('*'))
        curves = {
            other: one_machine_a_seed(read_rows(args.results, other))
            for other in others
        }
        put_results(
            args.doc, page({**curves, name: rows}, args.doc.parent / 'images')
        )


def comparable_rows(args: argparse.Namespace, name: str) -> list[dict]:
    """Read the rows of the command's settings, of each seed on one machine.

    Also those of another ``--by`` or ``--labels``. Others, such as of labels
    chosen from another pool, are named. With ``--table-only`` they are kept.

    Args:
        args: The command line.
        name: The curve.
    """
    curve = curve_of(args)
    found = {}
    for machine, rows in read_rows(args.results, name).items():
        own = [row for row in rows if curve and is_of(curve, row)]
        rest = [
            f'{row["name"]} seed {row["seed"]}'
            for row in rows
            if row not in own
        ]
        if rest and curve:
            fate = 'shown' if args.table_only else 'not shown'
            print(
                f'warning: {machine}: {fate}, of other settings than those of '
                f'this command, or of a config that it does not name: '
                f'{", ".join(rest)}'
            )
        if kept := rows if args.table_only else own:
            found[machine] = kept
    return one_machine_a_seed(found)


def curve_of(args: argparse.Namespace) -> Curve | None:
    """Plan the command's curve, to compare rows with.

    Returns:
        None for a table only, where data or a config are missing.
    """
    try:
        return make_curve(args)
    except UserError as error:
        if not args.table_only:
            raise
        print(f'warning: the settings of rows are not compared, {error}')
        return None


def is_of(curve: Curve, row: dict) -> bool:
    """Check whether a row has the settings that a curve gives its run."""
    run = Run(*(row[key] for key in Run._fields))
    try:
        return curve.identity(run) == row['config']
    except UserError:  # of a run that this curve cannot have
        return False


def page(curves: Mapping[str, Sequence[dict]], images: Path) -> str:
    """Write the tables of curves, with their plots.

    Args:
        curves: Rows by the name of the curve.
        images: Folder of the plots.
    """
    parts = []
    for name, rows in curves.items():
        if rows:
            picture = images / f'labels_{name}.png'
            draw(rows, name, picture)
            shown = f'![{name}]({images.name}/{picture.name})'
            parts += [f'**{name}**', shown, write_table(rows)]
    return '\n\n'.join(parts) or 'Nothing is measured yet.'


def main() -> None:
    """Measure and show the curve."""
    args = parse_args()
    exit_on_signals()
    # mmengine logs each environment variable of each config.
    MMLogger.get_current_instance().setLevel('WARNING')
    with exit_on_user_error():
        if args.doc:
            require_page(args.doc)
        lost = [] if args.table_only else measure(args)
        if not args.list:
            show(args)
        if lost:
            raise UserError(f'{len(lost)} are missing: {", ".join(lost)}')


if __name__ == '__main__':
    main()
