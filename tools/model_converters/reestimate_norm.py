# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Re-estimate a checkpoint's batch norm statistics on target images.

python tools/model_converters/reestimate_norm.py CONFIG CHECKPOINT OUT.pth

reads all target training images of the config once, at evaluation size, and no
labels. OUT.pth is the checkpoint with the new statistics.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from mmengine.logging import print_log
from mmseg.utils import register_all_modules

from mmseg_cag.engine.runtime.norm_statistics import reestimated_checkpoint
from mmseg_cag.errors import exit_on_user_error
from mmseg_cag.fileio.atomic import atomic_path
from mmseg_cag.launch.cfg_options import load_or_exit


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('config', help='training config of the run')
    parser.add_argument('checkpoint', help='checkpoint of the run')
    parser.add_argument('dst', help='output checkpoint, *.pth')
    parser.add_argument(
        '--domain', help='one of several targets to use (default: all)'
    )
    args = parser.parse_args()
    dst = Path(args.dst)
    if dst.suffix != '.pth':
        raise SystemExit(f'error: {dst}: expected a file name *.pth')
    register_all_modules()
    cfg = load_or_exit(args.config)
    with exit_on_user_error():
        checkpoint = reestimated_checkpoint(cfg, args.checkpoint, args.domain)
    with atomic_path(dst) as draft:
        torch.save(checkpoint, draft)
    print_log(f'{dst} written')


if __name__ == '__main__':
    main()
