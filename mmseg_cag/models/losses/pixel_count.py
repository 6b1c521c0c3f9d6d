# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import torch
from mmengine.dist import all_reduce, get_world_size
from torch import Tensor


def pixel_count(counted: Tensor, like: Tensor) -> Tensor:
    """Count what the sum of a loss is divided by, on the device.

    The mean over ranks, not a rank's own number: gradients are averaged over
    ranks, and so the loss is the mean over what counts in the images of all
    of them, as if one process had them in one batch.

    Args:
        counted: What counts, bool of any shape.
        like: Tensor of whose dtype, but at least float32, the count is.

    Returns:
        Positive scalar: where nothing counts on any rank it is that of one
        pixel.
    """
    dtype = torch.promote_types(like.dtype, torch.float32)
    count = counted.sum().to(dtype)
    all_reduce(count, op='mean')
    return count.clamp(min=1 / get_world_size())
