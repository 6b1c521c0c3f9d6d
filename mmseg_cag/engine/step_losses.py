# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Losses of training steps, fetched from the device without waiting."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

import torch
from mmseg.structures import SegDataSample
from torch import Tensor


class StepLosses:
    """The losses of a step on their way from the device.

    Args:
        outputs: What a training step returns, scalars by name.
        iteration: The step's number, from 1.
        data_samples: What it was of.
    """

    def __init__(
        self,
        outputs: dict[str, Tensor],
        iteration: int,
        data_samples: list[SegDataSample] | dict[str, list[SegDataSample]],
    ) -> None:
        self.names = list(outputs)
        self.iteration = iteration
        self.data_samples = data_samples
        values = torch.stack([v.detach().double() for v in outputs.values()])
        self.values = values.to('cpu', non_blocking=True)
        self.copied = None
        if values.is_cuda:
            self.copied = torch.cuda.current_stream().record_event()

    def are_here(self) -> bool:
        """Tell whether reading them waits for nothing."""
        return self.copied is None or self.copied.query()

    def read(self) -> dict[str, float]:
        """Wait for them, if need be, and name them."""
        if self.copied is not None:
            self.copied.synchronize()
        return dict(zip(self.names, self.values.tolist(), strict=True))


def take_arrived(
    steps: deque[StepLosses], wait: bool = False
) -> Iterator[StepLosses]:
    """Take out, in their order, the steps whose losses can be read.

    Only the latest step is left where it is: while it computes, the one
    before it has been waited for, and the device is never idle.

    Args:
        steps: Steps that were not read yet.
        wait: Whether to wait for the latest, too.
    """
    while steps and (wait or len(steps) > 1 or steps[0].are_here()):
        yield steps.popleft()
