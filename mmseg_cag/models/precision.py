# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import torch
from torch import Tensor


def at_least_float32(values: Tensor) -> Tensor:
    """Leave half precision, as autocast does for losses that it knows."""
    return values.to(torch.promote_types(values.dtype, torch.float32))
