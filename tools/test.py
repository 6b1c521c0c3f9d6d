# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Evaluate a checkpoint: ``python tools/test.py CONFIG CHECKPOINT``.

Prints the IoU of each class and the mean over the test set of the config. Its
log is in the folder ``test`` of the run's.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from command_line import add_run_options, load_run
from mmengine.config import Config


def parse_args() -> argparse.Namespace:
    """Read the command line, with mmseg's options."""
    parser = argparse.ArgumentParser(description='Evaluate a checkpoint')
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='checkpoint file')
    parser.add_argument('--show-dir', help='folder for painted predictions')
    add_run_options(parser)
    return parser.parse_args()


def load_config(args: argparse.Namespace) -> Config:
    """Merge the config file with the command line."""
    for path in (args.config, args.checkpoint):
        if not Path(path).is_file():
            raise SystemExit(f'error: {path}: file not found')
    cfg = load_run(args)
    cfg.load_from = args.checkpoint
    # A runner dumps its config: the run's folder keeps the training's.
    cfg.work_dir = str(Path(cfg.work_dir, 'test'))
    if args.show_dir:
        cfg.default_hooks.visualization.draw = True
        cfg.visualizer.save_dir = args.show_dir
    return cfg


def main() -> None:
    """Build the runner and test."""
    cfg = load_config(parse_args())
    # Imported after the config, which may select modules.
    from mmseg_cag.errors import UserError, exit_on_user_error
    from mmseg_cag.launch.chain import evaluate_run

    with exit_on_user_error():
        if not cfg.get('test_dataloader'):
            raise UserError(
                f'{cfg.filename}: test_dataloader is not set, expected the '
                'images to test; tools/demo.py needs none'
            )
        evaluate_run(cfg)


if __name__ == '__main__':
    main()
