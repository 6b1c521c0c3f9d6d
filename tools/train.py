# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Train by a config: ``python tools/train.py CONFIG``.

Distributed runs start it through ``tools/dist_train.sh CONFIG GPUS``.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import torch
from mmengine.config import Config, DictAction
from mmengine.runner import Runner, find_latest_checkpoint


def parse_args() -> argparse.Namespace:
    """Read the command line, as mmseg users know it."""
    parser = argparse.ArgumentParser(description='Train by a config')
    parser.add_argument('config', help='config file')
    parser.add_argument('--work-dir', help='where logs and checkpoints go')
    parser.add_argument(
        '--resume',
        action='store_true',
        help='go on from the latest checkpoint in the work dir, if any',
    )
    parser.add_argument(
        '--amp', action='store_true', help='automatic mixed precision'
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        action=DictAction,
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
    if not Path(args.config).is_file():
        raise SystemExit(f'error: {args.config}: config file not found')
    cfg = Config.fromfile(args.config)
    cfg.launcher = args.launcher
    if args.cfg_options:
        cfg.merge_from_dict(args.cfg_options)
    if args.work_dir:
        cfg.work_dir = args.work_dir
    elif cfg.get('work_dir') is None:
        path = Path(args.config)
        cfg.work_dir = str(Path('work_dirs', path.parent.name, path.stem))
    if args.amp:
        if not torch.cuda.is_available():
            raise SystemExit('error: --amp needs a GPU, none was found')
        cfg.optim_wrapper.type = 'AmpOptimWrapper'
    if args.resume:
        # The run's own checkpoint, if there is one, before `load_from`,
        # which mmengine would resume from.
        latest = find_latest_checkpoint(cfg.work_dir)
        cfg.resume = latest is not None
        cfg.load_from = latest or cfg.get('load_from')
    return cfg


def main() -> None:
    """Build the runner and train."""
    cfg = load_config(parse_args())
    # After the config, which may choose what is imported.
    from mmseg_cag.datasets.require_images import require_images_of
    from mmseg_cag.engine.cpu_distributed import use_gloo_without_gpu
    from mmseg_cag.engine.require_weights import require_weights
    from mmseg_cag.errors import UserError

    try:
        require_weights(cfg)
        require_images_of(cfg, 'train_dataloader', 'val_dataloader')
        use_gloo_without_gpu(cfg)
        Runner.from_cfg(cfg).train()
    except UserError as error:
        raise SystemExit(f'error: {error}') from None


if __name__ == '__main__':
    main()
