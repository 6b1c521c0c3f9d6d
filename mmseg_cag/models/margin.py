# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import torch
from torch import Tensor

# legend: P pixels


def smallest_margin(gaps: Tensor, correct: Tensor, precision: float) -> float:
    """Find the smallest margin at which enough of the labels are right.

    Args:
        gaps: Distance from nearest to runner-up anchor of each pixel (P,).
        correct: Whether the nearest anchor's class is right (P,) bool.
        precision: Wanted share of right ones among pixels whose gap is at
            least the margin.

    Returns:
        The smallest such gap; infinite where none is large enough, so that
        nothing is assigned.
    """
    gaps, order = gaps.sort(descending=True)
    right = correct[order].double().cumsum(0)
    share = right / torch.arange(1, len(gaps) + 1, device=gaps.device)
    # Pixels with equal gaps are active together: judge the last of a run.
    last = torch.ones_like(correct)
    last[:-1] = gaps[:-1] != gaps[1:]
    good = (share >= precision) & last
    return gaps[good].min().item() if good.any() else float('inf')
