# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Load a trained network for inference only."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NamedTuple

import torch
from command_line import add_cfg_options
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmseg.models.segmentors import EncoderDecoder
from torch import Tensor, nn

from mmseg_cag.analysis.runs.network import (
    build_network,
    build_preprocessor,
)
from mmseg_cag.analysis.runs.samples import Sample
from mmseg_cag.errors import UserError
from mmseg_cag.fileio.safe_load import read_checkpoint
from mmseg_cag.launch.cfg_options import load_or_exit, merge_or_exit

# legend: K classes, H W image, h w score map


class Frozen(NamedTuple):
    """A network in inference mode with its preprocessor.

    Attributes:
        model: The network, in evaluation mode.
        preprocessor: Preprocessor of the target images.
        classes: Names of the classes.
    """

    model: EncoderDecoder
    preprocessor: nn.Module
    classes: list[str]

    @torch.no_grad()
    def logits(self, sample: Sample) -> Tensor:
        """Compute the class scores of an image that its prediction is of.

        Returns:
            (K, H, W) at the image's own size; with ``single_resize``
            (K, h, w), to be resized once.

        Raises:
            UserError: Predictions are of resized or averaged probabilities.
        """
        settings = self.model.test_cfg or {}
        for name in ('softmax_first', 'softmax_windows'):
            if settings.get(name):
                raise UserError(
                    f'model.test_cfg.{name}: predictions are of '
                    'probabilities, which no shift of scores moves alike, '
                    'expected it off'
                )
        batch = dict(inputs=[sample.image], data_samples=[sample.data])
        batch = self.preprocessor(batch)
        if settings.get('single_resize'):
            return self.model(batch['inputs'], mode='tensor')[0].float().cpu()
        [result] = self.model.predict(**batch)
        scores = result.seg_logits.data.float().cpu()
        # mmseg has taken the sigmoid of a single output.
        return scores if len(scores) > 1 else scores.logit(eps=1e-7)


def add_arguments(
    parser: argparse.ArgumentParser, needs_checkpoint: bool = True
) -> None:
    """Add the arguments shared by the commands."""
    parser.add_argument('config', help='training config of the run')
    parser.add_argument(
        'checkpoint',
        type=Path,
        nargs=None if needs_checkpoint else '?',
        help='checkpoint of the run',
    )
    add_cfg_options(parser)


def open_config(args: argparse.Namespace) -> Config:
    """Read the config of a command and register its imports."""
    cfg = load_or_exit(args.config)
    merge_or_exit(cfg, args.cfg_options)
    init_default_scope(cfg.get('default_scope', 'mmseg'))
    return cfg


def open_network(
    cfg: Config, checkpoint: Path, classes: list[str], domain: str = 'target'
) -> Frozen:
    """Build the network and load a checkpoint.

    Args:
        cfg: The run's config.
        checkpoint: Its checkpoint.
        classes: Names of the classes of the data.
        domain: Domain of its input images.

    Raises:
        MissingFileError: There is no such file.
        UserError: It is damaged or belongs to another network, or has other
            classes.
    """
    content = read_checkpoint(checkpoint)
    model = build_network(cfg, content['state_dict'], checkpoint)
    # A single sigmoid output separates two classes.
    number = max(model.num_classes, 2)
    if number != len(classes):
        raise UserError(
            f'{checkpoint}: a network of {number} classes, expected '
            f'{len(classes)}: {", ".join(classes)}'
        )
    meta = content.get('meta') or {}
    named = (meta.get('dataset_meta') or {}).get('classes') or classes
    if list(named) != list(classes):
        raise UserError(
            f'{checkpoint}: a network of the classes {", ".join(named)}, '
            f'expected those of the data, {", ".join(classes)}'
        )
    return Frozen(model, build_preprocessor(cfg, domain), list(classes))
