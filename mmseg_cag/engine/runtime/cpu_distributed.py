# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from datetime import timedelta
from typing import Any

import torch
import torch.distributed
from mmengine.config import Config
from mmengine.model import MMDistributedDataParallel
from mmengine.registry import MODEL_WRAPPERS
from torch import nn

from mmseg_cag.errors import UserError


@MODEL_WRAPPERS.register_module()
class CPUDistributedDataParallel(MMDistributedDataParallel):
    """mmengine's distributed wrapper for modules that are on no GPU.

    mmengine always names a GPU, which torch refuses for a module on the CPU.
    (Registered at mmengine's root: there the runner looks wrappers up.)

    Args:
        module: The model.
        device_ids: Taken from mmengine and left out.
        **kwargs: Those of mmengine's wrapper.
    """

    def __init__(
        self, module: nn.Module, device_ids: list[int], **kwargs: Any
    ) -> None:
        super().__init__(module, **kwargs)


def use_gloo_without_gpu(cfg: Config) -> None:
    """Let a distributed launch run on the CPU where there is no GPU.

    Starts the process group, since mmengine would select a GPU first, and
    chooses the wrapper for it in the config.

    Args:
        cfg: The run's config, changed in place.

    Raises:
        UserError: Batch norms are to be synchronised.
    """
    if cfg.launcher == 'none' or torch.cuda.is_available():
        return
    if cfg.get('sync_bn'):
        raise UserError(
            f'sync_bn={cfg.sync_bn!r}: no GPU was found, and torch '
            'synchronises batch norms on GPUs alone; expected None'
        )
    settings = cfg.env_cfg.dist_cfg
    settings.backend = 'gloo'
    if not torch.distributed.is_initialized():
        timeout = timedelta(seconds=settings.get('timeout', 1800))
        torch.distributed.init_process_group('gloo', timeout=timeout)
    cfg.model_wrapper_cfg = dict(
        type='CPUDistributedDataParallel',
        broadcast_buffers=False,
        find_unused_parameters=cfg.get('find_unused_parameters', False),
    )
