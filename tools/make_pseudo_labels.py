# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Write pseudo labels for confident pixels of the target's training images.

python tools/make_pseudo_labels.py CONFIG CHECKPOINT OUT

writes a label map of train ids for each image, and their provenance into
OUT/pseudo_labels.json. Distributed: tools/dist_make_pseudo_labels.sh.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from mmengine.config import Config


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('config', help='training config of the run')
    parser.add_argument('checkpoint', help='checkpoint of the run')
    parser.add_argument('out', help='output folder of the labels')
    parser.add_argument(
        '--portion',
        type=float,
        default=0.5,
        help="quantile of a class's confidences used as its threshold; 0.5, "
        'as published, is the median',
    )
    parser.add_argument(
        '--cap',
        type=float,
        default=0.9,
        help='upper bound of the thresholds; 0.9 as published',
    )
    parser.add_argument('--work-dir', help='folder of the log')
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
    for name in ('portion', 'cap'):
        if not 0 <= getattr(args, name) <= 1:
            raise SystemExit(f'error: --{name}: expected a number in 0..1')
    os.environ.setdefault('LOCAL_RANK', '0')
    return args


def load_config(args: argparse.Namespace) -> Config:
    """Merge the config file with the command line."""
    # Imported after parsing: these imports take seconds.
    from mmseg_cag.launch.cfg_options import load_or_exit, merge_or_exit

    cfg = load_or_exit(args.config)
    cfg.launcher = args.launcher
    merge_or_exit(cfg, args.cfg_options)
    path = Path(args.config)
    cfg.work_dir = args.work_dir or cfg.get(
        'work_dir', str(Path('work_dirs', path.parent.name, path.stem))
    )
    return cfg


def main() -> None:
    """Make the labels and print the thresholds."""
    args = parse_args()
    cfg = load_config(args)
    # Imported after the config, which may select modules.
    from mmengine.dist import is_main_process
    from mmengine.registry import init_default_scope

    from mmseg_cag.engine.runtime.cpu_distributed import use_gloo_without_gpu
    from mmseg_cag.errors import UserError
    from mmseg_cag.workflows.pseudo_labels.make import make_pseudo_labels
    from mmseg_cag.workflows.pseudo_labels.select_confident import (
        ThresholdRule,
    )

    init_default_scope(cfg.get('default_scope', 'mmseg'))
    rule = ThresholdRule(args.portion, args.cap)
    try:
        use_gloo_without_gpu(cfg)
        note = make_pseudo_labels(cfg, args.checkpoint, args.out, rule)
    except UserError as error:
        raise SystemExit(f'error: {error}') from None
    if is_main_process():
        for name, found in note['classes'].items():
            share = found['kept'] / max(found['predicted'], 1)
            print(
                f'{name:15} threshold {found["threshold"]:.4f}, '
                f'{share:6.1%} of {found["predicted"]} pixels kept'
            )


if __name__ == '__main__':
    main()
