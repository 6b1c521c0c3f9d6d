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
    """Compile the parts of the network that take the time, as training begins.

    Each part, the teacher's too, runs in the forms that `torch.compile` makes
    of it; keys of checkpoints and the training step stay. mmengine's option
    ``compile`` takes the whole step instead, which breaks into dozens of
    graphs and is lost where the model is wrapped anew.

    Args:
        parts: Names of modules, in the model and in its teacher.
        **options: Those of `torch.compile`.
    """

    # After the weights are reordered: that is a reason to compile anew.
    priority = 'VERY_LOW'

    def __init__(
        self,
        parts: Sequence[str] = ('backbone', 'discriminators'),
        **options: Any,
    ) -> None:
        self.parts = tuple(parts)
        self.options = options

    def before_train(self, runner: Runner) -> None:
        """Compile, when each part is first called.

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
                # Containers are not called, what they hold is.
                if isinstance(child, nn.ModuleList):
                    yield from child
                elif child is not None:
                    yield child
