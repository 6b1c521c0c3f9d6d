# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""The batch statistics that each rank has of its own images."""

from __future__ import annotations

from mmengine.dist import all_gather_object, get_rank, get_world_size
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

KEY = 'rank_statistics'  # in a checkpoint


def gather_statistics(model: nn.Module) -> list[dict[str, Tensor]]:
    """Collect the running statistics of all ranks, on the host.

    A checkpoint's ``state_dict`` is of the first rank; the others could not
    go on as they were without theirs.

    Args:
        model: The model, without a distributed wrapper.
    """
    own = {
        f'{name}.{key}': value.cpu()
        for name, module in model.named_modules()
        if isinstance(module, _NormBase)
        for key, value in module.named_buffers()
    }
    return all_gather_object(own)


def restore_statistics(checkpoint: dict) -> None:
    """Put this rank's statistics into a checkpoint that was loaded.

    Nothing is done where it is of another number of ranks.
    """
    found = checkpoint.get(KEY, [])
    if len(found) == get_world_size():
        checkpoint['state_dict'].update(found[get_rank()])
