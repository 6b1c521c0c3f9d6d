# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Statistics of batch norms, taken anew from target images."""

from __future__ import annotations

from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.runner import Runner
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmseg_cag.analysis.evaluate import build_runner
from mmseg_cag.fileio.atomic import atomic_path
from mmseg_cag.fileio.safe_load import read_checkpoint


def reestimate(cfg: Config, checkpoint: Path, path: Path) -> None:
    """Write a checkpoint whose statistics are those of the target.

    The mean of all target training images, each seen once, as they are
    evaluated; no label is read. What torch's ``update_bn`` does.

    Args:
        cfg: Config of the run; its ``target_dataset`` is read by its
            ``test_pipeline``.
        checkpoint: The network.
        path: File to write.
    """
    cfg.test_dataloader = dict(
        batch_size=cfg.test_dataloader.batch_size,
        num_workers=0,
        sampler=dict(type='DefaultSampler', shuffle=False, round_up=False),
        dataset=dict(cfg.target_dataset, pipeline=cfg.test_pipeline),
    )
    runner = build_runner(cfg, checkpoint, path.parent)
    runner.load_or_resume()
    update_statistics(runner)
    content = read_checkpoint(checkpoint)
    state = runner.model.state_dict()
    kept = content['state_dict']
    weights = {key: state[key].cpu() for key in kept if key in state}
    with atomic_path(path) as draft:
        torch.save({**content, 'state_dict': {**kept, **weights}}, draft)


@torch.no_grad()
def update_statistics(runner: Runner) -> None:
    """Replace a network's statistics by those of a runner's test images."""
    model = runner.model
    model.eval()
    norms = [
        module
        for name in ('backbone', 'neck', 'decode_head')
        for module in getattr(model, name, nn.Identity()).modules()
        if isinstance(module, _BatchNorm) and module.track_running_stats
    ]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.train()
        norm.reset_running_stats()
        norm.momentum = None  # the mean of all batches
    for batch in runner.build_dataloader(runner.cfg.test_dataloader):
        batch = model.data_preprocessor(batch, False)
        model(**batch, mode='tensor')
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    model.eval()
