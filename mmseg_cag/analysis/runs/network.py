# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Load the networks of a run for prediction."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmseg.models.segmentors import EncoderDecoder
from mmseg.registry import MODELS
from torch import Tensor, nn

from mmseg_cag.fileio.safe_load import read_checkpoint
from mmseg_cag.models.segmentors.base import SegOutput, run_network
from mmseg_cag.models.segmentors.encoder_decoder import (
    SingleResizeEncoderDecoder,
)
from mmseg_cag.models.student import (
    check_weights,
    preprocessor_of,
    student_model,
    student_weights,
)

from .run import Run, find_start_checkpoint, read_starts
from .samples import Sample

# legend: N images, H W image

State = dict[str, Tensor]


def read_state(checkpoint: Path) -> State:
    """Read the weights of a checkpoint, anchors and teacher included.

    Raises:
        MissingFileError: The file does not exist.
        UserError: It is damaged or no checkpoint.
    """
    return read_checkpoint(checkpoint)['state_dict']


def teacher_state(state: State) -> State:
    """Replace the student of a CAG checkpoint by its frozen teacher."""
    marks = ('teacher.module.', 'labeler.')  # the second is from version 0.1
    teacher = {
        key.removeprefix(mark): value
        for mark in marks
        for key, value in state.items()
        if key.startswith(mark)
    }
    return {**state, **teacher}


def start_state(run: Run, checkpoint: Path | None = None) -> State | None:
    """Read the weights that a run started from.

    The teacher of a first stage holds them, together with its anchors; without
    a teacher they come from the ``load_from`` that it first had.

    Args:
        run: The run.
        checkpoint: The start, if the run does not record it.

    Returns:
        The weights, or None for a run from scratch.

    Raises:
        MissingFileError: The start cannot be found.
    """
    if checkpoint:
        return read_state(checkpoint)
    first = read_state(next(iter(run.checkpoints.values())))
    if first.get('stage') == 1:
        return teacher_state(first)
    configs = [run.cfg, *read_starts(run.folder, [])[1]]
    start = find_start_checkpoint(run.folder, configs)
    return read_state(start) if start else None


def build_network(cfg: Config, state: State, origin: Path) -> EncoderDecoder:
    """Build the network and load the weights.

    Args:
        cfg: The run's config.
        state: Weights of a checkpoint.
        origin: Source of the weights, for the error.

    Returns:
        The network in evaluation mode, on the GPU if there is one.

    Raises:
        UserError: The weights belong to another network.
    """
    student = student_model(cfg.model)
    if issubclass(MODELS.get(cfg.model.type), SingleResizeEncoderDecoder):
        # With the switches of its test_cfg, as tools/test.py predicts.
        student.type = SingleResizeEncoderDecoder.__name__
    model = MODELS.build(student)
    weights = student_weights(state, cfg.model)
    check_weights(model, weights, origin)
    model.load_state_dict(weights)
    return model.eval().to(get_device())


def build_preprocessor(cfg: Config, domain: str) -> nn.Module:
    """Build the preprocessor of a domain's images.

    Images of a member of a `DomainPool` have that member's settings.

    Args:
        cfg: The run's config.
        domain: ``source`` or ``target``.
    """
    settings = cfg.model.data_preprocessor
    own = preprocessor_of(settings, domain)
    if settings.get('domains'):
        # A plain batch counts as target.
        own = {**settings, 'domains': {**settings.domains, 'target': own}}
    return MODELS.build(own).to(get_device())


@torch.no_grad()
def view(model: EncoderDecoder, images: Tensor) -> SegOutput:
    """Compute features and logits of images (N, 3, H, W)."""
    return run_network(model, images)


@torch.no_grad()
def predict_map(model: EncoderDecoder, sample: Sample) -> np.ndarray:
    """Predict the classes (H, W) of an image."""
    batch = dict(inputs=[sample.image], data_samples=[sample.data])
    [result] = model.test_step(batch)
    return result.pred_sem_seg.data.squeeze(0).cpu().numpy()
