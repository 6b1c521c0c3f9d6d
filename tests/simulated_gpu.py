# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import time

import pytest
import torch

CYCLES = 2e9  # a second


class SimulatedGpu:
    """A GPU that computes what its host launches; each takes its time.

    Stands for `torch.cuda` and the clocks of `time`.

    Attributes:
        now: Time of the host, seconds.
        waits: Number of calls before each time that the host waited.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = self.free = 100.0
        self.calls, self.waits = 0, []
        for clock in ('perf_counter', 'monotonic'):
            monkeypatch.setattr(time, clock, lambda: self.now)
        for name, function in dict(
            synchronize=self.wait,
            _sleep=lambda cycles: self.compute(cycles / CYCLES),
            Event=lambda enable_timing: Event(self),
            reset_peak_memory_stats=lambda: None,
            max_memory_allocated=lambda: 0,
        ).items():
            monkeypatch.setattr(torch.cuda, name, function)

    def call(self, host: float, gpu: float) -> None:
        """Launch for some milliseconds what is computed in some others."""
        self.calls += 1
        self.compute(gpu / 1e3)
        self.now += host / 1e3
        self.free = max(self.free, self.now)

    def compute(self, seconds: float) -> None:
        self.free = max(self.free, self.now) + seconds

    def wait(self) -> None:
        self.waits.append(self.calls)
        self.now = max(self.free, self.now)


class Event:
    """A point in time that the GPU reaches."""

    def __init__(self, card: SimulatedGpu) -> None:
        self.card = card

    def record(self) -> None:
        self.reached = max(self.card.free, self.card.now)

    def elapsed_time(self, other: Event) -> float:
        return 1e3 * (other.reached - self.reached)
