# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Training steps of any config, without a runner."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.model import revert_sync_batchnorm
from mmengine.optim import build_optim_wrapper
from mmseg.registry import MODELS
from speed.step import WRAPPERS, begin_stage
from torch import Tensor

from mmseg_cag.launch.stages import walk
from mmseg_cag.minitown.runs import ROOT

CONFIGS = ROOT / 'configs'
# What is no method, trains no segmentor, or needs labels that one has made.
OTHERS = ('loop', 'translator', 'source_only', 'oracle', 'ssl')


def configs_of(
    folder: str, ending: str = '', others: tuple[str, ...] = OTHERS
) -> list[Path]:
    """List the configs of a folder, the shortest name first.

    Args:
        folder: Of ``configs``.
        ending: Of the names.
        others: What is in the names of those that are left out.
    """
    paths = (CONFIGS / folder).glob(f'*{ending}.py')
    return sorted(
        (p for p in paths if not any(other in p.stem for other in others)),
        key=lambda path: (len(path.stem), path.stem),
    )


def read_config(path: Path, weights: bool = False) -> Config:
    """Read a config.

    Args:
        path: The file.
        weights: Whether networks begin with the weights that it names, else
            with drawn ones.
    """
    cfg = Config.fromfile(path)
    if weights:
        return cfg
    for part in walk(cfg._cfg_dict['model']):
        if 'checkpoint' in (part.get('init_cfg') or {}):
            part['init_cfg'] = None
        if part.get('checkpoint') and 'config' in part:
            # A finished run that teaches: here the student's own start.
            part['config'] = None
        for key in {'pretrained', 'checkpoint'} & part.keys():
            part[key] = None
    return cfg


def adapts(cfg: Config) -> bool:
    """Whether a config trains, and on several domains."""
    return trains(cfg) and 'domains' in cfg.train_dataloader.dataset


def trains(cfg: Config) -> bool:
    """Whether a config has a training."""
    return bool(cfg.get('train_cfg') and cfg.get('optim_wrapper'))


class Trainer:
    """A model with its optimizer, and a batch that it takes steps on.

    Args:
        cfg: The config.
        batch: As the loader collates it; it stays where it is.
        device: Where.
        amp: ``bf16``, ``fp16`` or None for float32.
        channels_last: Whether convolutions run in that memory order.
    """

    def __init__(
        self,
        cfg: Config,
        batch: dict,
        device: str,
        amp: str | None = None,
        channels_last: bool = True,
    ) -> None:
        torch.manual_seed(0)
        model = revert_sync_batchnorm(MODELS.build(cfg.model)).to(device)
        if channels_last:
            model = model.to(memory_format=torch.channels_last)
        self.model, self.batch = model.train(), batch
        options = dict(cfg.optim_wrapper)
        options.update(WRAPPERS[amp])
        self.optim = build_optim_wrapper(model, options)
        data = model.data_preprocessor(batch, True)
        begin_stage(model, data['inputs'], data['data_samples'])

    def __call__(self) -> dict[str, Tensor]:
        """Take a step; returns what it would log."""
        return self.model.train_step(self.batch, self.optim)


def time_steps(
    function: Callable[[], Any], device: str, seconds: float, most: int = 20
) -> dict:
    """Time calls that follow each other, as those of a training do.

    Args:
        function: Takes a step.
        device: Where.
        seconds: For all, but the first two calls, which warm up.
        most: Calls that are timed.

    Returns:
        ``ms`` of a call on average, the ``calls``, the last one's ``log`` and
        the ``peak`` of memory in bytes (None on a CPU).
    """
    cuda = device == 'cuda'
    for _ in range(2):
        function()
    if cuda:
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
    start, calls = time.perf_counter(), 0
    while calls < most:
        log = function()
        calls += 1
        if cuda and calls < 3:
            torch.cuda.synchronize()
        spent = time.perf_counter() - start
        if spent * (calls + 1) / calls > seconds:
            break
    if cuda:
        torch.cuda.synchronize()
    spent = time.perf_counter() - start
    return dict(
        ms=1e3 * spent / calls,
        calls=calls,
        log={key: value.item() for key, value in log.items()},
        peak=torch.cuda.max_memory_allocated() if cuda else None,
    )


def time_updates(trainer: Trainer, device: str, calls: int = 2) -> dict:
    """Time what a step updates: the student, and a teacher that follows it.

    Returns:
        Milliseconds ``optimizer_ms`` and ``teacher_ms``, of the last call, by
        the wall clock; None for a teacher that does not move with each step.
    """
    model, optim = trainer.model, trainer.optim
    teacher = getattr(model, 'teacher', None)
    follows = teacher is not None and not hasattr(model, 'start_stage')
    found = dict(optimizer_ms=None, teacher_ms=None)
    for _ in range(calls):
        data = model.data_preprocessor(trainer.batch, True)
        with optim.optim_context(model):
            losses = model(**data, mode='loss')
        optim.backward(model.parse_losses(losses)[0])
        found['optimizer_ms'] = _milliseconds(optim.step, device)
        optim.zero_grad()
        if follows:
            found['teacher_ms'] = _milliseconds(
                lambda: teacher.update_parameters(model), device
            )
    return found


def _milliseconds(function: Callable[[], Any], device: str) -> float:
    times = []
    for _ in range(2):
        if device == 'cuda':
            torch.cuda.synchronize()
        times.append(time.perf_counter())
        if len(times) == 1:
            function()
    return 1e3 * (times[1] - times[0])


def free_memory() -> None:
    """Give cached memory back to the GPU."""
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()
