# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
r"""Distil a finished run into a small network; export, quantise, measure.

    python tools/distill.py work_dirs/minitown/cag_lite2 \
        configs/minitown/distill.py
    python tools/distill.py WORK_DIR              # the run's own network

The run in the first folder teaches the student of the config; finished steps
are skipped. The student is exported as student.pth with student.py,
student.onnx and student.int8.onnx. A table lists the mIoU, time, size and
memory of each form on this CPU. Without a config, the run itself is exported.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from command_line import add_cfg_options
from mmengine.config import Config
from rich.console import Console
from rich.table import Table


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('run', type=Path, help='work dir of a finished run')
    parser.add_argument(
        'config', nargs='?', help='config of the student, a DistillSegmentor'
    )
    parser.add_argument(
        '--out', type=Path, help='output folder (default: RUN/forms)'
    )
    parser.add_argument(
        '--calibration',
        type=int,
        default=64,
        help='target images to calibrate INT8 (default: 64)',
    )
    add_cfg_options(
        parser,
        "override settings of the student's config: key=value ...",
    )
    return parser.parse_args()


def main() -> None:
    """Run the command."""
    args = parse_args()
    # Imported after parsing: these imports take seconds.
    from mmseg.utils import register_all_modules

    from mmseg_cag.errors import UserError, exit_on_user_error

    register_all_modules()
    with exit_on_user_error():
        try:
            from forms.make import make_forms
        except ImportError as error:
            raise UserError(
                f'{error.name} is not installed: pip install mmseg_cag[onnx]'
            ) from None
        cfg, checkpoint, folder = student(args)
        forms = make_forms(
            cfg, checkpoint, args.out or folder / 'forms', args.calibration
        )
    table = Table('form', 'mIoU', 'ms', 'MB', 'peak MB', title=str(folder))
    for name, miou, *costs in forms:
        score = '-' if miou is None else f'{miou:.2f}'
        table.add_row(name, score, *(f'{cost:.1f}' for cost in costs))
    table.caption = 'an image at a time, one thread of this CPU'
    Console(markup=False).print(table)


def student(args: argparse.Namespace) -> tuple[Config, Path, Path]:
    """Get config, checkpoint and folder of the network to ship.

    With a config, trains the student first if that is not done.

    Raises:
        UserError: The run is not finished, the config has no student, or
            images differ in size.
    """
    from forms.make import require_one_size

    from mmseg_cag.analysis.runs.run import dumped_configs, open_run
    from mmseg_cag.errors import UserError
    from mmseg_cag.launch.cfg_options import load_or_exit, merge_or_exit
    from mmseg_cag.launch.chain import (
        default_work_dir,
        last_checkpoint,
        train_chain,
    )

    run = open_run(args.run)
    end = args.run / last_checkpoint(run.cfg).name
    if not end.is_file():
        raise UserError(
            f'{args.run}: has no {end.name}, expected a finished run'
        )
    if args.config is None:
        return run.cfg, end, args.run
    cfg = load_or_exit(args.config)
    merge_or_exit(cfg, args.cfg_options)
    if not cfg.model.get('distillation'):
        raise UserError(
            f'{args.config}: model.distillation is not set, expected the '
            'config of a student'
        )
    cfg.model.distillation.teacher = dict(
        cfg.model.distillation.get('teacher') or {},
        config=str(dumped_configs(args.run)[-1]),
        checkpoint=str(end),
    )
    cfg.launcher = 'none'
    cfg.work_dir = cfg.get('work_dir') or default_work_dir(args.config)
    folder = Path(cfg.work_dir)
    require_one_size(cfg)  # before the time is spent on training
    train_chain(cfg, resume=True, more=True)
    return cfg, last_checkpoint(cfg), folder


if __name__ == '__main__':
    main()
