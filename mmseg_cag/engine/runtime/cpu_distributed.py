# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import atexit
import gc
from datetime import timedelta
from typing import Any

import torch
import torch.distributed
from mmengine.config import Config, ConfigDict
from mmengine.model import MMDistributedDataParallel
from mmengine.registry import MODEL_WRAPPERS
from torch import nn

from mmseg_cag.errors import UserError


@MODEL_WRAPPERS.register_module()
class CPUDistributedDataParallel(MMDistributedDataParallel):
    """Distributed wrapper for modules on the CPU.

    mmengine always passes a GPU, which torch refuses for a CPU module.
    (Registered in mmengine's root registry, where the runner looks wrappers
    up.)

    Args:
        module: The model.
        device_ids: Passed by mmengine; ignored.
        **kwargs: Arguments of mmengine's wrapper.
    """

    def __init__(
        self, module: nn.Module, device_ids: list[int], **kwargs: Any
    ) -> None:
        super().__init__(module, **kwargs)


def use_gloo_without_gpu(cfg: Config) -> None:
    """Run a distributed launch on the CPU if there is no GPU.

    Starts the process group, since mmengine would first select a GPU, ends it
    when Python ends, and sets the wrapper in the config.

    Args:
        cfg: The run's config, changed in place.

    Raises:
        UserError: Batch norms are to be synchronised, or another launcher
            than torch's started the processes.
    """
    if cfg.launcher == 'none' or torch.cuda.is_available():
        return
    if cfg.launcher != 'pytorch':
        raise UserError(
            f'launcher={cfg.launcher}: no GPU was found, expected pytorch '
            'there (torchrun, tools/dist_train.sh), or none'
        )
    if cfg.get('sync_bn'):
        raise UserError(
            f'sync_bn={cfg.sync_bn!r}: no GPU was found, and torch '
            'synchronises batch norms only on GPUs; expected None'
        )
    settings = cfg.setdefault('env_cfg', ConfigDict())
    settings = settings.setdefault('dist_cfg', ConfigDict())
    settings.backend = 'gloo'
    if not torch.distributed.is_initialized():
        timeout = timedelta(seconds=settings.get('timeout', 1800))
        torch.distributed.init_process_group('gloo', timeout=timeout)
        atexit.register(end_process_group)
    cfg.model_wrapper_cfg = dict(
        type='CPUDistributedDataParallel',
        broadcast_buffers=False,
        find_unused_parameters=cfg.get('find_unused_parameters', False),
    )


def end_process_group() -> None:
    """End the process group, and gloo's threads with it.

    One that frees a tensor while Python ends would abort the process.
    """
    gc.collect()  # the run's model refers to the group
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
