# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from typing import NamedTuple

from mmseg.models.segmentors import EncoderDecoder

from mmseg_cag.errors import UserError
from mmseg_cag.finished_runs.labeler import Labeler, restore_labeler
from mmseg_cag.finished_runs.network import (
    State,
    build_network,
    labeler_state,
    read_state,
)

from .networks import Network


class Loaded(NamedTuple):
    """A network that predicts, and what its stage was labelled by.

    Attributes:
        state: All weights of the checkpoint.
        model: The network.
        labeler: That of its stage; None of a method without, or of a start.
    """

    state: State
    model: EncoderDecoder
    labeler: Labeler | None


def load_network(network: Network) -> Loaded:
    """Build a network as its run had it.

    Raises:
        UserError: Its checkpoint or its config is not there, or they do not
            fit each other.
    """
    path, cfg = network.checkpoint, network.cfg
    if path is None or cfg is None:
        lacking = 'checkpoint' if cfg else 'readable config'
        raise UserError(f'{network.title}: no {lacking} is kept')
    state = read_state(path)
    if network.is_labeler:
        state = labeler_state(state)
    try:
        model = build_network(cfg, state, path)
        labeler = None
        if state.get('stage') and not network.is_start:
            labeler = restore_labeler(cfg, labeler_state(state), path)
    except UserError:
        raise
    # What a config of another version lacks may show anywhere.
    except Exception as error:
        line = str(error).strip().partition('\n')[0]
        raise UserError(
            f'{path}: not of the network of its config ({line})'
        ) from error
    return Loaded(state, model, labeler)
