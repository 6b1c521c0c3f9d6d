# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Write the student of a run as ONNX and check it against PyTorch.

python tools/model_converters/export_onnx.py CONFIG CHECKPOINT student.onnx

The normalisation of images is inside: image (N, 3, H, W) float32, 0 to 255,
BGR, to logits (N, K, H, W).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from mmengine.logging import print_log

from mmseg_cag.errors import UserError
from mmseg_cag.fileio.atomic import atomic_path
from mmseg_cag.inference.demo.network import load_network
from mmseg_cag.inference.export_onnx import (
    DeploymentModel,
    compare_onnx,
    export_onnx,
)


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        'config', type=Path, help='config that the run was trained by'
    )
    parser.add_argument('checkpoint', type=Path, help='checkpoint of the run')
    parser.add_argument('dst', type=Path, help='the file to write, *.onnx')
    parser.add_argument(
        '--size',
        type=int,
        nargs=2,
        default=(128, 256),
        metavar=('H', 'W'),
        help='size of the images (default: 128 256)',
    )
    parser.add_argument(
        '--any-size',
        action='store_true',
        help='for images of other sizes too; takes minutes for some networks',
    )
    args = parser.parse_args()
    if args.dst.suffix != '.onnx':
        parser.error(f'{args.dst}: expected the name of a file *.onnx')
    return args


def main() -> None:
    """Run the command."""
    args = parse_args()
    try:
        convert(args)
    except (UserError, ImportError) as error:
        raise SystemExit(f'error: {error}') from None


def convert(args: argparse.Namespace) -> None:
    """Write the file; it appears once it agrees with PyTorch."""
    model = DeploymentModel(load_network(args.checkpoint, args.config).cpu())
    with atomic_path(args.dst, '.onnx') as draft:
        export_onnx(model, draft, args.size, args.any_size)
        check(model, draft, args)
    print_log(f'{args.dst} written', 'current')


def check(
    model: DeploymentModel, path: Path, args: argparse.Namespace
) -> None:
    """Compare the file with PyTorch, in all sizes that it should take."""
    height, width = args.size
    shapes = [(1, 3, height, width), (3, 3, height, width)]
    if args.any_size:
        # Of no common factor with any stride.
        shapes.append((2, 3, height + 7, width + 11))
    for shape in shapes:
        image = torch.randint(0, 256, shape).float()
        difference, extent = compare_onnx(model, path, image)
        print_log(
            f'{shape}: largest difference of logits {difference:.1e}, '
            f'their range {extent:.1e}',
            'current',
        )


if __name__ == '__main__':
    main()
