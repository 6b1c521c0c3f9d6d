# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Write the student of a run as a stock mmseg checkpoint with a config.

python tools/model_converters/export_student.py CONFIG CHECKPOINT student.pth

writes student.pth and student.py, which mmseg.apis.init_model loads.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from mmengine.logging import print_log
from mmseg.utils import register_all_modules

from mmseg_cag.errors import UserError
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
    try:
        if args.domain:
            predict_as(cfg, args.domain)
        checkpoint = student_checkpoint(cfg, args.checkpoint)
        exported = student_config(cfg)
    except UserError as error:
        raise SystemExit(f'error: {error}') from None
    dst.parent.mkdir(parents=True, exist_ok=True)
    text = exported.pretty_text
    checkpoint['meta']['cfg'] = text
    torch.save(checkpoint, dst)
    dst.with_suffix('.py').write_text(text)
    imports = exported.get('custom_imports', {}).get('imports')
    needs = f'mmseg with {", ".join(imports)}' if imports else 'stock mmseg'
    print_log(f'{dst} and {dst.with_suffix(".py")} written, for {needs}')


if __name__ == '__main__':
    main()
