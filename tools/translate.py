# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Translate all source images with a trained translator.

python tools/translate.py CONFIG CHECKPOINT OUT

writes each image of the config's translate_dataloader under its own name, and
their provenance into OUT/translated_images.json. Distributed:
tools/dist_translate.sh.
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
    parser.add_argument('out', help='output folder of the translated images')
    parser.add_argument(
        '--batch-size',
        type=int,
        help="batch size, instead of the config's",
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
    if args.batch_size is not None and args.batch_size < 1:
        raise SystemExit('error: --batch-size: expected 1 or more')
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
    """Translate the images and print their number."""
    args = parse_args()
    cfg = load_config(args)
    # Imported after the config, which may select modules.
    from mmengine.dist import is_main_process
    from mmengine.registry import init_default_scope

    from mmseg_cag.engine.runtime.cpu_distributed import use_gloo_without_gpu
    from mmseg_cag.errors import UserError
    from mmseg_cag.workflows.translate import translate_images

    init_default_scope(cfg.get('default_scope', 'mmseg'))
    try:
        use_gloo_without_gpu(cfg)
        note = translate_images(
            cfg, args.checkpoint, args.out, args.batch_size
        )
    except UserError as error:
        raise SystemExit(f'error: {error}') from None
    if is_main_process():
        sizes = ', '.join(f'{n} of {s}' for s, n in note['sizes'].items())
        print(f'{args.out}: {note["images"]} images, {sizes}')


if __name__ == '__main__':
    main()
