# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Score the checkpoints of runs without target labels.

    python tools/analysis/score_checkpoints.py WORK_DIR ...

writes scores.json into each work dir, and a table of the scores beside the
mIoU where known, with the checkpoint that each score would select.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from mmseg.utils import register_all_modules

from mmseg_cag.analysis.model_selection.choose import choose, to_markdown
from mmseg_cag.analysis.model_selection.score_run import SCORES, score_run
from mmseg_cag.analysis.runs.run import open_run
from mmseg_cag.errors import UserError, exit_on_user_error
from mmseg_cag.launch.cfg_options import parse_options


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        'runs', nargs='+', type=Path, metavar='WORK_DIR', help='work dirs'
    )
    parser.add_argument(
        '--out',
        type=Path,
        default='work_dirs/scores.md',
        help='output file of the tables',
    )
    parser.add_argument(
        '--evaluate',
        action='store_true',
        help='compute missing mIoU values of checkpoints; only this option '
        'reads target labels',
    )
    parser.add_argument(
        '--images',
        type=int,
        default=100,
        help='images sampled from each domain, evenly spaced',
    )
    parser.add_argument(
        '--pixels',
        type=int,
        default=5000,
        help='target pixels sampled for the neighbourhood density',
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action='extend',
        metavar='KEY=VALUE',
        help='override settings of the runs: key.of.config=value ...',
    )
    args = parser.parse_args()
    for name, least in (('images', 1), ('pixels', 2)):
        if getattr(args, name) < least:
            parser.error(f'--{name}: expected at least {least}')
    if args.out.is_dir():
        parser.error(f'--out {args.out}: is a folder, expected a file')
    return args


def score_runs(args: argparse.Namespace) -> list[str]:
    """Score each run; returns the tables, the last one over all runs."""
    # Check every folder before hours of work.
    options = parse_options(args.cfg_options or ())
    runs = [open_run(folder, options) for folder in args.runs]
    for run in runs:
        if args.evaluate and not run.cfg.get('test_dataloader'):
            raise UserError(
                f'{run.folder}: test_dataloader is not set, expected the '
                'images that --evaluate needs'
            )
    tables, all_scores = [], []
    for run in runs:
        scores = score_run(run, args.images, args.pixels, args.evaluate)
        tables.append(to_markdown(str(run.folder), scores, choose(scores)))
        name = f'{run.folder.name}/'
        all_scores += [
            {**row, 'checkpoint': name + row['checkpoint']} for row in scores
        ]
    if len(runs) > 1:
        choices = choose(all_scores, is_one_run=False)
        tables.append(to_markdown('All of them', all_scores, choices))
    return tables


def main() -> None:
    """Write the scores and print the tables."""
    args = parse_args()
    register_all_modules()
    with exit_on_user_error():
        tables = score_runs(args)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text('\n'.join(tables))
    print('\n'.join(tables))
    print(f'{SCORES} of each run and {args.out} written')


if __name__ == '__main__':
    main()
