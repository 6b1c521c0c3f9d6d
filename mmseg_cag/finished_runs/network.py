# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from pathlib import Path

from mmengine.config import Config
from mmengine.device import get_device
from mmengine.runner import CheckpointLoader
from mmseg.models.segmentors import EncoderDecoder
from mmseg.registry import MODELS

from mmseg_cag.engine.check_checkpoint_hook import require_same_network
from mmseg_cag.errors import MissingFileError, UserError
from mmseg_cag.models.segmentors import CAGSegmentor

from .run_folder import RunFolder


def load_network(cfg: Config, checkpoint: Path) -> EncoderDecoder:
    """Build a run's network with the weights of a checkpoint.

    Args:
        cfg: The run's config.
        checkpoint: One of the run, or of the one that it began from.

    Returns:
        The network in evaluation mode, on the GPU if there is one.

    Raises:
        MissingFileError: There is no such file.
        UserError: It is damaged or of another network.
    """
    if not checkpoint.is_file():
        raise MissingFileError(f'{checkpoint}: checkpoint not found')
    try:
        content = CheckpointLoader.load_checkpoint(str(checkpoint), 'cpu')
        state = dict(content.get('state_dict', content))
    # Bytes that are no checkpoint make the reader fail in any way at all.
    except Exception as error:
        line = str(error).partition('\n')[0]
        raise UserError(
            f'{checkpoint}: damaged, expected a checkpoint ({line})'
        ) from error
    model = MODELS.build(cfg.model)
    require_same_network(model, state, checkpoint)
    model.load_state_dict(state, strict=False)
    return model.eval().to(get_device())


def load_start(
    run: RunFolder, checkpoint: Path | None = None
) -> EncoderDecoder | None:
    """Build the network as it was when the run began.

    The labeler of a first stage is that network, and has its anchors beside
    it; without one it is what ``load_from`` names.

    Args:
        run: The run.
        checkpoint: The start, where the run does not tell it.

    Returns:
        The network, or None for a run that began from no other.

    Raises:
        MissingFileError: The start is nowhere.
    """
    if checkpoint:
        return load_network(run.cfg, checkpoint)
    model = load_network(run.cfg, next(iter(run.checkpoints.values())))
    if isinstance(model, CAGSegmentor) and model.stage == 1:
        for name, part in model.student_parts().items():
            part.load_state_dict(model.labeler[name].state_dict())
        return model
    start = run.cfg.get('load_from')
    return load_network(run.cfg, Path(start)) if start else None
