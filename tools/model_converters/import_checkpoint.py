# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Convert a published checkpoint for mmseg's tools.

python tools/model_converters/import_checkpoint.py cag SRC DST
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from checkpoint_formats import FORMATS, read_published

from mmseg_cag.engine.records.descent import DESCENT, inherited
from mmseg_cag.errors import exit_on_user_error
from mmseg_cag.fileio.atomic import atomic_path


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('format', choices=FORMATS, help="publisher's format")
    parser.add_argument('src', help='the published checkpoint')
    parser.add_argument('dst', type=Path, help='output file')
    args = parser.parse_args()
    with exit_on_user_error():
        weights = read_published(args.src, args.format)
    meta = {DESCENT: inherited(args.src, 'imported from')}
    with atomic_path(args.dst) as draft:
        torch.save({'meta': meta, 'state_dict': weights}, draft)


if __name__ == '__main__':
    main()
