# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from mmengine.device import get_device
from mmseg.models.segmentors import EncoderDecoder
from mmseg.registry import MODELS

from mmseg_cag.errors import UserError
from mmseg_cag.models.export_student import PARTS
from mmseg_cag.models.safe_load import read_checkpoint

from .networks import Network


def load_network(network: Network) -> EncoderDecoder:
    """Build a network, as its run had it, for prediction.

    Raises:
        UserError: Its checkpoint or its config is not there, or they do not
            fit each other.
    """
    if network.checkpoint is None or network.cfg is None:
        lacking = 'checkpoint' if network.cfg else 'readable config'
        raise UserError(f'{network.title}: no {lacking} is kept')
    state = read_checkpoint(network.checkpoint)['state_dict']
    try:
        model = MODELS.build(network.cfg.model)
        missing, _ = model.load_state_dict(state, strict=False)
    # What a config of another version lacks may show anywhere.
    except Exception as error:
        line = str(error).strip().splitlines()[0]
        raise UserError(
            f'{network.checkpoint}: not of the network of its config ({line})'
        ) from error
    lost = [key for key in missing if key.split('.')[0] in PARTS]
    if lost:
        raise UserError(
            f'{network.checkpoint}: {len(lost)} tensors of the network are '
            f'not in it, the first is {lost[0]}'
        )
    return model.to(get_device()).eval()
