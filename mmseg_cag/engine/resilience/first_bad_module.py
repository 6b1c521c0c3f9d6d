# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from mmengine.model import BaseModel
from torch import Tensor, nn


@torch.no_grad()
def first_bad_module(model: BaseModel, batch: dict) -> str | None:
    """Find where a batch leads to values that are not finite.

    The batch is run through the model once more, in training mode, and every
    module's output is looked at.

    Args:
        model: The model, without a distributed wrapper.
        batch: A batch of the training's data loader.

    Returns:
        Name of the first module whose weights are not finite or, where all
        are, whose output is not; None if every output is.
    """
    for name, value in model.named_parameters():
        if not value.isfinite().all():
            return f'{name.rpartition(".")[0]} (its weights)'
    names = {module: name for name, module in model.named_modules() if name}
    found: list[str] = []

    def look(module: nn.Module, inputs: Any, output: Any) -> None:
        if not all(value.isfinite().all() for value in _tensors(output)):
            found.append(names[module])

    handles = [module.register_forward_hook(look) for module in names]
    try:
        model(**model.data_preprocessor(batch, True), mode='loss')
    finally:
        for handle in handles:
            handle.remove()
    return found[0] if found else None


def _tensors(node: Any) -> Iterator[Tensor]:
    if isinstance(node, Tensor):
        yield node
    elif isinstance(node, dict):
        yield from _tensors(list(node.values()))
    elif isinstance(node, list | tuple):
        for child in node:
            yield from _tensors(child)
