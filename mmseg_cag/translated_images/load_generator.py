# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from pathlib import Path

from mmseg_cag.models.export_student import check_weights
from mmseg_cag.models.safe_load import read_checkpoint
from mmseg_cag.models.translation import ImageTranslator

PREFIX = 'generators.target.'


def load_generator(model: ImageTranslator, checkpoint: str | Path) -> None:
    """Load the network that makes images of the target's kind.

    Args:
        model: Takes the weights.
        checkpoint: Checkpoint of a translator's run.

    Raises:
        MissingFileError: There is no such file.
        UserError: It is damaged, or of another network.
    """
    state = read_checkpoint(checkpoint)['state_dict']
    weights = {
        key.removeprefix(PREFIX): value
        for key, value in state.items()
        if key.startswith(PREFIX)
    }
    generator = model.generators['target']
    check_weights(generator, weights, checkpoint)
    generator.load_state_dict(weights)
