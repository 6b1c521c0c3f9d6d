# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Split the time of a training step on the CPU into its parts."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from operator import attrgetter
from typing import Any

import numpy as np
from mmengine.config import Config

from .step import Form, Step, draw_batch
from .timing import WARM_UP

FORWARDS = (
    'student', 'teacher', 'network of the start', 'foreign encoder',
)  # fmt: skip
# What a step cannot do without (DAFormer's step, in order).
PASSES = (*FORWARDS, 'cross entropy', 'backward')
# Parts by the calls that they consist of; a part excludes those within it.
MODEL_CALLS = {
    'forward_student': 'student',
    'teacher.forward': 'teacher',
    'momentum_teacher.forward': 'teacher',
    'start.forward': 'network of the start',
    'foreign_maps': 'foreign encoder',
    'supervised_loss': 'cross entropy',
    'data_preprocessor.forward': 'images',
    'move_teacher': 'teacher update',
    'label_target': 'labels',
    'mix': 'mixing',
    'augment': 'jitter and blur',
    'masking.hide': 'masking',
    'move_anchors': 'anchors',
    'feature_distance.forward': 'feature distance',
    'pseudo_label_losses': 'losses of pseudo labels',
    'alignment.forward': 'alignment',
    'projection.forward': 'alignment',
    'consistency_loss': 'consistency',
    'move_prototypes': 'prototypes',
}
OPTIMIZER_CALLS = {'backward': 'backward', 'step': 'optimizer'}


class PartClock:
    """Milliseconds of each part, without those of the parts within it.

    Attributes:
        spent: Milliseconds by part.
        calls: Number of calls by part; nested ones of the same part count
            once.
    """

    def __init__(self) -> None:
        self.spent: dict[str, float] = defaultdict(float)
        self.calls: dict[str, int] = defaultdict(int)
        self._within: list[tuple[str, list[float]]] = []

    def watch(self, owner: Any, name: str, part: str) -> None:
        """Time a method of an object as a part."""
        setattr(owner, name, self.timed(getattr(owner, name), part))

    def timed(self, function: Callable, part: str) -> Callable:
        """Return a function that is timed as a part."""

        def call(*args: Any, **kwargs: Any) -> Any:
            outer, inner = self._within[-1:], []
            if not outer or outer[0][0] != part:
                self.calls[part] += 1
            self._within.append((part, inner))
            start = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                elapsed = 1e3 * (time.perf_counter() - start)
                self._within.pop()
                self.spent[part] += elapsed - sum(inner)
                for _, siblings in outer:
                    siblings.append(elapsed)

        return call


def measure_parts(cfg: Config, *, rounds: int) -> dict:
    """Measure the parts of a config's step on random images, on the CPU.

    Args:
        cfg: A config of a method, run channels-last as in training.
        rounds: Number of timed steps.

    Returns:
        ``whole`` and ``passes`` in milliseconds and their ``ratio``, each as
        ``median``, ``p10`` and ``p90`` over the steps; ``calls``, the forward
        passes of each kind in a step; ``parts``, median milliseconds of the
        others.
    """
    form = Form(channels_last=True)
    step = Step(cfg, form, 'cpu', draw_batch(cfg))
    steps = [_time_parts(step) for _ in range(WARM_UP + rounds)][WARM_UP:]
    clocks = [clock for clock, _ in steps]
    whole = [elapsed for _, elapsed in steps]
    passes = [sum(clock.spent[p] for p in PASSES) for clock in clocks]
    others = sorted({p for clock in clocks for p in clock.spent} - {*PASSES})
    ratio = np.divide(whole, passes)
    return dict(
        whole=_spread(whole),
        passes=_spread(passes),
        ratio=_spread(ratio),
        calls={part: clocks[0].calls[part] for part in FORWARDS},
        parts={
            part: float(np.median([clock.spent[part] for clock in clocks]))
            for part in others
        },
    )


def _time_parts(step: Step) -> tuple[PartClock, float]:
    """Run a step under a clock of its own."""
    clock = PartClock()
    watched = []
    for root, calls in (
        (step.model, MODEL_CALLS),
        (step.optim, OPTIMIZER_CALLS),
    ):
        for path, part in calls.items():
            *above, name = path.split('.')
            if any(getattr(root, first, None) is None for first in above):
                continue
            owner = attrgetter('.'.join(above))(root) if above else root
            if hasattr(owner, name):
                clock.watch(owner, name, part)
                watched.append((owner, name))
    try:
        clock.timed(step.whole, 'rest')()
    finally:
        for owner, name in watched:
            delattr(owner, name)
    return clock, sum(clock.spent.values())


def _spread(values: Any) -> dict[str, float]:
    low, median, high = map(float, np.percentile(values, [10, 50, 90]))
    return dict(median=median, p10=low, p90=high)
