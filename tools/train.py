# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Train a config: ``python tools/train.py CONFIG``.

Distributed: ``tools/dist_train.sh CONFIG GPUS``.
"""

from __future__ import annotations

import argparse

import torch
from command_line import add_cfg_options, add_launcher
from mmengine.config import Config


def parse_args() -> argparse.Namespace:
    """Read the command line, with mmseg's options."""
    parser = argparse.ArgumentParser(description='Train a config')
    parser.add_argument('config', help='config file')
    parser.add_argument('--work-dir', help='folder of logs and checkpoints')
    parser.add_argument(
        '--resume',
        action='store_true',
        help='resume from the latest checkpoint in the work dir, if any',
    )
    parser.add_argument(
        '--stage',
        type=int,
        metavar='K',
        help='train only this stage, from the end of the previous one',
    )
    parser.add_argument(
        '--stage-iters',
        type=int,
        metavar='N',
        help='train N iterations per stage, each evaluated at its end',
    )
    parser.add_argument(
        '--amp', action='store_true', help='mixed precision in float16'
    )
    parser.add_argument(
        '--bf16', action='store_true', help='mixed precision in bfloat16'
    )
    add_cfg_options(parser)
    add_launcher(parser)
    return parser.parse_args()


def load_config(args: argparse.Namespace) -> Config:
    """Merge the config file with the command line."""
    # Imported after parsing: these imports take seconds.
    from mmseg_cag.launch.cfg_options import load_or_exit, merge_or_exit

    cfg = load_or_exit(args.config)
    cfg.launcher = args.launcher
    words = []
    if args.amp:
        if not torch.cuda.is_available():
            raise SystemExit(
                'error: --amp needs a GPU, none was found; expected --bf16'
            )
        words.append('optim_wrapper.type=AmpOptimWrapper')
    if args.bf16:
        words.append('optim_wrapper.type=BFloat16OptimWrapper')
    merge_or_exit(cfg, [*words, *(args.cfg_options or ())])
    if args.work_dir:
        cfg.work_dir = args.work_dir
    return cfg


def main() -> None:
    """Train; run the config's warm-up first if not done yet."""
    args = parse_args()
    cfg = load_config(args)
    # Imported after the config, which may select modules.
    from mmseg_cag.errors import exit_on_user_error
    from mmseg_cag.launch.chain import default_work_dir, train_chain
    from mmseg_cag.launch.stages import select_stage, shorten_stages

    cfg.work_dir = cfg.get('work_dir') or default_work_dir(args.config)
    with exit_on_user_error():
        if args.stage_iters is not None:
            shorten_stages(cfg, args.stage_iters)
        if args.stage is not None:
            given = args.cfg_options or []
            select_stage(
                cfg, args.stage, any(o.startswith('load_from=') for o in given)
            )
        train_chain(cfg, args.resume)


if __name__ == '__main__':
    main()
