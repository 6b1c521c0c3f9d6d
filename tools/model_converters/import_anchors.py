# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Convert an anchor file of the CAG release to a file of two tensors.

python tools/model_converters/import_anchors.py category_anchors DST
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from mmseg_cag.errors import exit_on_user_error
from mmseg_cag.fileio.atomic import atomic_path
from mmseg_cag.models.anchors.anchor_file import read_category_anchors


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('src', help='the published file')
    parser.add_argument(
        'dst', type=Path, help='output file of anchors and counts'
    )
    args = parser.parse_args()
    with exit_on_user_error():
        anchors, counts = read_category_anchors(args.src)
    with atomic_path(args.dst) as draft:
        torch.save({'anchors': anchors, 'counts': counts}, draft)


if __name__ == '__main__':
    main()
