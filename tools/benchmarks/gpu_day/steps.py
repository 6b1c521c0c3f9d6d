# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Run training steps of any config without a runner."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config, ConfigDict
from mmengine.model import revert_sync_batchnorm
from mmengine.optim import build_optim_wrapper
from mmseg.registry import MODELS
from speed.step import WRAPPERS, Step, begin_stage
from torch import Tensor

from mmseg_cag.launch.stages import walk
from mmseg_cag.minitown.runs import ROOT

CONFIGS = ROOT / 'configs'
# Configs that are no method, train no segmentor, or need made labels.
OTHERS = ('loop', 'translator', 'source_only', 'oracle', 'ssl')
# Calls for which the timing of consecutive ones leaves time.
AFTER = 3
# How much narrower a ResNet is in a rehearsal.
NARROWER = 4


def configs_of(
    folder: str, ending: str = '', others: tuple[str, ...] = OTHERS
) -> list[Path]:
    """List the configs of a folder, the shortest name first.

    Args:
        folder: Folder in ``configs``.
        ending: Suffix of the names.
        others: Substrings of names to leave out.
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
        weights: Whether to load the config's initial weights, else random
            ones.
    """
    cfg = Config.fromfile(path)
    if weights:
        return cfg
    for part in walk(cfg._cfg_dict['model']):
        if 'checkpoint' in (part.get('init_cfg') or {}):
            part['init_cfg'] = None
        for key in {'pretrained', 'checkpoint'} & part.keys():
            part[key] = None
    return cfg


def narrow(model: ConfigDict) -> None:
    """Make a ResNet-101 a narrow ResNet-50, for a rehearsal."""
    if model.backbone.get('depth') != 101:
        return
    for part in walk(model):
        for key in {'in_channels', 'c1_in_channels'} & part.keys():
            part[key] //= NARROWER
    channels = 64 // NARROWER
    model.backbone.update(
        depth=50, stem_channels=channels, base_channels=channels
    )


def adapts(cfg: Config) -> bool:
    """Check whether a config trains on several domains."""
    return trains(cfg) and 'domains' in cfg.train_dataloader.dataset


def trains(cfg: Config) -> bool:
    """Check whether a config trains."""
    return bool(cfg.get('train_cfg') and cfg.get('optim_wrapper'))


class Trainer:
    """A model with its optimizer and a batch to train on.

    Args:
        cfg: The config.
        batch: As the loader collates it; not moved.
        device: Where.
        channels_last: Whether convolutions run in that memory order.
    """

    def __init__(
        self, cfg: Config, batch: dict, device: str, channels_last: bool = True
    ) -> None:
        torch.manual_seed(0)
        model = revert_sync_batchnorm(MODELS.build(cfg.model)).to(device)
        if channels_last:
            model = model.to(memory_format=torch.channels_last)
        self.model, self.batch = model.train(), batch
        self.options = dict(cfg.optim_wrapper)
        self.compute_in(None)
        data = model.data_preprocessor(batch, True)
        begin_stage(model, data['inputs'], data['data_samples'])

    def compute_in(self, amp: str | None) -> None:
        """Make a new optimizer for ``bf16``, ``fp16`` or None for float32."""
        options = self.options | WRAPPERS[amp]
        self.optim = build_optim_wrapper(self.model, options)

    def __call__(self) -> dict[str, Tensor]:
        """Run a step; returns its log values."""
        return self.model.train_step(self.batch, self.optim)


def time_steps(
    function: Callable[[], Any],
    device: str,
    seconds: float,
    ends: float,
    least: int = 5,
    most: int = 20,
) -> dict:
    """Time consecutive calls, as in training.

    A call warms up, and one tells how many fit.

    Args:
        function: Runs a step.
        device: Where.
        seconds: Total time of the calls, if there are enough.
        ends: Until when `AFTER` more calls fit, by `time.monotonic`: then
            there may be fewer.
        least: Minimum number of timed calls.
        most: Maximum number of timed calls.

    Returns:
        Average ``ms`` of a call, the number of ``calls``, the last one's
        ``log`` and the ``peak`` memory in bytes (None on a CPU).
    """
    cuda = device == 'cuda'
    function()
    pace = _milliseconds(function, device) / 1e3
    calls = min(max(least, int(seconds / pace)), most)
    calls = max(1, min(calls, int((ends - time.monotonic()) / pace) - AFTER))
    if cuda:
        torch.cuda.reset_peak_memory_stats()
    start = time.perf_counter()
    for _ in range(calls):
        log = function()
    if cuda:
        torch.cuda.synchronize()
    spent = time.perf_counter() - start
    return dict(
        ms=1e3 * spent / calls,
        calls=calls,
        log={key: value.item() for key, value in log.items()},
        peak=torch.cuda.max_memory_allocated() if cuda else None,
    )


def time_updates(trainer: Trainer | Step, device: str, calls: int = 2) -> dict:
    """Time a step's updates of the student and of a mean teacher.

    Returns:
        Wall-clock milliseconds ``optimizer_ms`` and ``teacher_ms`` of the last
        call; None for a teacher that is not updated each step.
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
    """Release cached GPU memory."""
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()
