# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Write the student of a run as a stock mmseg checkpoint with a config.

python tools/model_converters/export_student.py CONFIG CHECKPOINT student.pth

writes student.pth and student.py, which mmseg.apis.init_model loads.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.logging import print_log
from mmseg.utils import register_all_modules

from mmseg_cag.errors import UserError, exit_on_user_error
from mmseg_cag.fileio.atomic import atomic_path, atomic_write
from mmseg_cag.fileio.safe_config import parse_config
from mmseg_cag.inference.export_student import (
    predict_as,
    student_checkpoint,
    student_config,
)
from mmseg_cag.launch.cfg_options import load_or_exit


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('config', help='training config of the run')
    parser.add_argument('checkpoint', help='checkpoint of the run')
    parser.add_argument('dst', help='output checkpoint, *.pth')
    parser.add_argument(
        '--domain',
        help='whose statistics it gets, of those in model.domain_norms',
    )
    args = parser.parse_args()
    dst = Path(args.dst)
    if dst.suffix != '.pth':
        raise SystemExit(f'error: {dst}: expected a file name *.pth')
    register_all_modules()
    cfg = load_or_exit(args.config)
    with exit_on_user_error():
        if args.domain:
            predict_as(cfg, args.domain)
        checkpoint = student_checkpoint(cfg, args.checkpoint)
        exported = student_config(cfg)
        require_own(dst, Path(args.checkpoint), exported)
    text = exported.pretty_text
    checkpoint['meta']['cfg'] = text
    dst.parent.mkdir(parents=True, exist_ok=True)
    # The config first: a checkpoint alone is taken for another's.
    atomic_write(dst.with_suffix('.py'), text.encode())
    with atomic_path(dst) as draft:
        torch.save(checkpoint, draft)
    imports = exported.get('custom_imports', {}).get('imports')
    needs = f'mmseg with {", ".join(imports)}' if imports else 'stock mmseg'
    print_log(f'{dst} and {dst.with_suffix(".py")} written, for {needs}')


def require_own(dst: Path, checkpoint: Path, exported: Config) -> None:
    """Check that nothing but an earlier export is replaced.

    Args:
        dst: The output checkpoint.
        checkpoint: The checkpoint that is exported.
        exported: The config of the export.

    Raises:
        UserError: One of the two files is of something else.
    """
    config = dst.with_suffix('.py')
    if dst.exists() and (dst.samefile(checkpoint) or not config.exists()):
        raise UserError(
            f'{dst}: exists and is no exported student, expected another name'
        )
    if not config.exists():
        return
    try:
        old = parse_config(config.read_text(encoding='utf-8'), str(config))
    except (OSError, UnicodeError, UserError):
        old = {}
    # The imports depend on the network.
    if {*old, 'custom_imports'} != {*exported, 'custom_imports'}:
        raise UserError(
            f'{config}: exists and is no config of an exported student, '
            'expected another name'
        )


if __name__ == '__main__':
    main()
