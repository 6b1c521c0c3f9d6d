# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from collections.abc import Sequence

from mmengine.optim import DefaultOptimWrapperConstructor
from mmseg.registry import OPTIM_WRAPPER_CONSTRUCTORS
from torch import nn


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class MergedOptimWrapperConstructor(DefaultOptimWrapperConstructor):
    """mmengine's constructor, with one group per setting.

    With ``paramwise_cfg``, mmengine makes a group per parameter. An optimizer
    updates group by group, so on a GPU it then waits for thousands of small
    kernels (docs/performance.md). Here parameters with the same settings share
    a group; updates are the same. Frozen parts are not logged.
    """

    def add_params(
        self,
        params: list[dict],
        module: nn.Module,
        prefix: str = '',
        is_dcn_module: int | float | None = None,
    ) -> None:
        """Add the groups of a module; arguments as mmengine's."""
        if any(part.requires_grad for part in module.parameters()):
            super().add_params(params, module, prefix, is_dcn_module)
        if not prefix:  # the model, after all of its parts
            params[:] = merge_groups(params)


def merge_groups(groups: Sequence[dict]) -> list[dict]:
    """Merge parameter groups with equal settings, in order of appearance.

    Args:
        groups: Groups as torch's optimizers take them, ``params`` a list.
    """
    merged: dict[str, dict] = {}
    for group in groups:
        settings = {k: v for k, v in group.items() if k != 'params'}
        key = repr(sorted(settings.items()))
        merged.setdefault(key, dict(params=[], **settings))
        merged[key]['params'] += group['params']
    return list(merged.values())
