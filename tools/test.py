# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Evaluate a checkpoint: ``python tools/test.py CONFIG CHECKPOINT``.

Prints the IoU of each class and the mean over the test set of the config.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from mmengine.config import Config


def parse_args() -> argparse.Namespace:
    """Read the command line, with mmseg's options."""
    parser = argparse.ArgumentParser(description='Evaluate a checkpoint')
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument('--work-dir', help='folder of the log')
    parser.add_argument('--show-dir', help='folder for painted predictions')
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action='extend',
        metavar='KEY=VALUE',
        help='override settings: key.of.config=value ...',
    )
    parser.add_argument(
        '--launcher',
        choices=['none', 'pytorch', 'slurm', 'mpi'],
        default='none',
    )
    args = parser.parse_args()
    os.environ.setdefault('LOCAL_RANK', '0')
    return args


def load_config(args: argparse.Namespace) -> Config:
    """Merge the config file with the command line."""
    for path in (args.config, args.checkpoint):
        if not Path(path).is_file():
            raise SystemExit(f'error: {path}: file not found')
    # Imported after parsing: these imports take seconds.
    from mmseg_cag.launch.cfg_options import load_or_exit, merge_or_exit

    cfg = load_or_exit(args.config)
    cfg.launcher = args.launcher
    merge_or_exit(cfg, args.cfg_options)
    path = Path(args.config)
    cfg.work_dir = args.work_dir or cfg.get(
        'work_dir', str(Path('work_dirs', path.parent.name, path.stem))
    )
    cfg.load_from = args.checkpoint
    if args.show_dir:
        cfg.default_hooks.visualization.draw = True
        cfg.visualizer.save_dir = args.show_dir
    return cfg


def main() -> None:
    """Build the runner and test."""
    cfg = load_config(parse_args())
    # Imported after the config, which may select modules.
    from mmseg_cag.errors import UserError
    from mmseg_cag.launch.chain import evaluate_run

    try:
        if not cfg.get('test_dataloader'):
            raise UserError(
                f'{cfg.filename}: test_dataloader is not set, expected the '
                'images to test; tools/demo.py needs none'
            )
        evaluate_run(cfg)
    except UserError as error:
        raise SystemExit(f'error: {error}') from None


if __name__ == '__main__':
    main()
