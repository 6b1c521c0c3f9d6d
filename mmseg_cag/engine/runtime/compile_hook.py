# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmseg.registry import HOOKS
from torch import nn

from mmseg_cag.errors import UserError
from mmseg_cag.models.segmentors.base import bare_model


@HOOKS.register_module()
class CompileHook(Hook):
    """Compile the expensive parts of the network at the start of training.

    Each part, also the teacher's, is compiled in place by `torch.compile`;
    checkpoint keys and the training step stay the same. mmengine's option
    ``compile`` compiles the whole step instead, which breaks into dozens of
    graphs and is lost when the model is rewrapped.

    Args:
        parts: Names of modules in the model and its teacher.
        **options: Those of `torch.compile`.
    """

    # After reordering the weights, which would trigger a recompilation.
    priority = 'VERY_LOW'

    def __init__(
        self,
        parts: Sequence[str] = ('backbone', 'discriminators'),
        **options: Any,
    ) -> None:
        self.parts = tuple(parts)
        self.options = options

    def before_train(self, runner: Runner) -> None:
        """Mark the parts for compilation at their first call.

        Raises:
            UserError: The model has none of the parts.
        """
        model = bare_model(runner)
        found = list(self._modules(model))
        if not found:
            raise UserError(
                f'CompileHook: parts={list(self.parts)}, but '
                f'{type(model).__name__} has '
                f'{[name for name, _ in model.named_children()]}'
            )
        for module in found:
            module.compile(**self.options)
        runner.logger.info(
            f'{len(found)} modules are compiled: first steps take longer'
        )

    def _modules(self, model: nn.Module) -> Iterator[nn.Module]:
        teacher = getattr(model, 'teacher', None)
        for owner in (model, teacher.module) if teacher else (model,):
            children = dict(owner.named_children())
            for part in self.parts:
                child = children.get(part)
                # Containers are not called, only their children.
                if isinstance(child, nn.ModuleList):
                    yield from child
                elif child is not None:
                    yield child
