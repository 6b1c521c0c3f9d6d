# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Write the student of a run as ONNX and check it against PyTorch.

python tools/model_converters/export_onnx.py CONFIG CHECKPOINT student.onnx

The network includes image normalisation: image (N, 3, H, W) float32, 0 to 255,
BGR, to logits (N, K, H, W). ``--card FRAMES`` adds the outputs for
`mmseg_cag.watch` and writes the domain card beside the file.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.logging import print_log
from mmseg.models.segmentors import EncoderDecoder

from mmseg_cag.analysis.runs.labeling_network import build_labeling_network
from mmseg_cag.analysis.runs.network import read_state
from mmseg_cag.analysis.runs.samples import build_dataset, read_samples
from mmseg_cag.datasets.dataset_configs import changed_leaves
from mmseg_cag.engine.records.descent import inherited
from mmseg_cag.errors import UserError, exit_on_user_error
from mmseg_cag.fileio.atomic import atomic_path
from mmseg_cag.fileio.safe_config import load_config
from mmseg_cag.inference.demo.network import load_network
from mmseg_cag.inference.export_onnx import (
    DeploymentModel,
    WatchedModel,
    compare_onnx,
    export_onnx,
    note,
)
from mmseg_cag.models.student import student_pipeline
from mmseg_cag.watch.card import make_card
from mmseg_cag.watch.files import read_frames
from mmseg_cag.watch.network import WatchedNetwork

IMAGES = 200  # source images, to compute anchors if the checkpoint has none


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('config', type=Path, help='training config of the run')
    parser.add_argument('checkpoint', type=Path, help='checkpoint of the run')
    parser.add_argument('dst', type=Path, help='output file, *.onnx')
    parser.add_argument(
        '--size',
        type=int,
        nargs=2,
        metavar=('H', 'W'),
        help='size of the images (default: that of the first test image '
        'after the test pipeline)',
    )
    parser.add_argument(
        '--any-size',
        action='store_true',
        help='allow other image sizes; takes minutes for some networks',
    )
    parser.add_argument(
        '--card',
        type=Path,
        metavar='FRAMES',
        help='target folder or video to make the domain card from '
        '(docs/watch.md)',
    )
    parser.add_argument(
        '--unknown',
        action='store_true',
        help='add an output that marks unknown pixels (docs/unknown.md)',
    )
    args = parser.parse_args()
    if args.dst.suffix != '.onnx':
        parser.error(f'{args.dst}: expected a file name *.onnx')
    if args.size and min(args.size) < 1:
        parser.error(
            f'--size {args.size[0]} {args.size[1]}: expected at least 1'
        )
    return args


def main() -> None:
    """Run the command."""
    args = parse_args()
    with exit_on_user_error(ImportError):
        convert(args)


def convert(args: argparse.Namespace) -> None:
    """Write the file once its outputs agree with PyTorch."""
    if args.card:
        # Found missing now, not after minutes of work.
        next(read_frames(args.card, (None, None)))
    network = load_network(args.checkpoint, args.config).cpu()
    cfg = load_config(args.config)
    licences = cfg.get('licences')
    args.size = args.size or size_of_test(cfg, args.config)
    model = DeploymentModel(network)
    if args.card or args.unknown:
        model = watched_model(network, args)
    with atomic_path(args.dst, '.onnx') as draft:
        export_onnx(model, draft, args.size, args.any_size)
        note(
            draft,
            classes=[*network.dataset_meta['classes']],
            descent=inherited(args.checkpoint, 'exported from', licences),
        )
        check(model, draft, args)
    print_log(f'{args.dst} written', 'current')
    if args.card:
        write_card(args)


def size_of_test(cfg: Config, path: Path) -> tuple[int, int]:
    """Find the size (H, W) of the first test image as the network sees it.

    Args:
        cfg: The run's config.
        path: Its file, for the error.

    Raises:
        UserError: There is no test image on this machine.
    """
    try:
        loader = cfg.get('test_dataloader') or cfg.get('val_dataloader') or {}
        part = loader.get('dataset')
        steps = dict(pipeline=student_pipeline(cfg))
        dataset = part and changed_leaves(part, lambda one: {**one, **steps})
        built = build_dataset(dataset, 'test_dataloader.dataset')
        [sample] = read_samples(built, [0])
    except UserError as error:
        raise UserError(
            f'{path}: expected --size H W, no test image tells it ({error})'
        ) from None
    height, width = sample.image.shape[-2:]
    print_log(f'The size of the test images: {height} {width}', 'current')
    return height, width


def watched_model(
    network: EncoderDecoder, args: argparse.Namespace
) -> WatchedModel:
    """Add the anchors of the checkpoint, or compute them on the source.

    Raises:
        UserError: --unknown is set, but the config or the checkpoint has no
            limits.
    """
    cfg = load_config(args.config)
    state = read_state(args.checkpoint)
    labeler = build_labeling_network(
        cfg, state, args.checkpoint, IMAGES, with_margin=False
    )
    unknown = labeler.head.cpu().unknown
    if args.unknown and unknown is None:
        raise UserError(
            f'{args.config}: --unknown needs '
            'model.pseudo_label_head.unknown_quantile'
        )
    if unknown is not None:
        unknown.require_limits(args.checkpoint)
    return WatchedModel(network, labeler.bank.cpu(), unknown)


def write_card(args: argparse.Namespace) -> None:
    """Write the domain card beside the network."""
    network = WatchedNetwork(args.dst)
    frames = read_frames(args.card, network.size)
    seen = (network.look(frame) for frame in frames)
    card = make_card(seen, network.fingerprint, network.classes, None, True)
    path = args.dst.with_suffix('.card.json')
    card.write(path)
    print_log(f'{path} written, from {card.frames} frames', 'current')


def check(
    model: DeploymentModel, path: Path, args: argparse.Namespace
) -> None:
    """Compare the file with PyTorch at all supported sizes."""
    height, width = args.size
    shapes = [(1, 3, height, width), (3, 3, height, width)]
    if args.any_size:
        # Shares no factor with any stride.
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
