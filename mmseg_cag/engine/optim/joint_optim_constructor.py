# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from mmengine.optim import build_optim_wrapper
from mmseg.registry import OPTIM_WRAPPER_CONSTRUCTORS
from torch import nn

from mmseg_cag.errors import UserError

from .joint_optim_wrapper import JointOptimWrapper

STUDENT = 'student'


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class JointOptimWrapperConstructor:
    """Build an optimizer for each part of a model, stepped jointly.

    .. code:: python

       optim_wrapper = dict(
           constructor='JointOptimWrapperConstructor',
           type='OptimWrapper',  # or AmpOptimWrapper, for all members
           members=dict(
               student=dict(optimizer=..., paramwise_cfg=...),
               discriminators=dict(optimizer=...),
           ),
       )

    A member is named after the model's child that it optimises; ``student``
    covers all the others, if they are trainable. Each accepts the settings of
    an ``optim_wrapper``, including ``constructor``; settings next to
    ``members`` apply to all.

    Args:
        optim_wrapper_cfg: The config, without ``constructor``.
        paramwise_cfg: Not allowed: each member has its own.

    Raises:
        UserError: There are no members, or settings are misplaced.
    """

    def __init__(
        self, optim_wrapper_cfg: dict, paramwise_cfg: dict | None = None
    ) -> None:
        self.shared = dict(optim_wrapper_cfg)
        self.members = self.shared.pop('members', {})
        if not self.members:
            raise UserError(
                f'optim_wrapper.members: empty, expected {STUDENT!r} among '
                'them'
            )
        if paramwise_cfg or 'optimizer' in self.shared:
            raise UserError(
                'optim_wrapper: optimizer or paramwise_cfg next to members, '
                'expected inside a member, as members.student.optimizer'
            )

    def __call__(self, model: nn.Module) -> JointOptimWrapper:
        """Build the members and join them.

        Raises:
            UserError: A member's name is not a part of the model, or a
                trainable part belongs to no member.
        """
        model = getattr(model, 'module', model)
        parts = dict(model.named_children())
        for name in self.members:
            if name != STUDENT and name not in parts:
                raise UserError(
                    f'optim_wrapper.members.{name}: {type(model).__name__} '
                    f'has no such part, expected one of {list(parts)}'
                )
        rest = {k: parts[k] for k in parts if k not in self.members}
        parts[STUDENT] = nn.ModuleDict(rest)
        if STUDENT not in self.members:
            _require_frozen(rest, list(self.members))
        return JointOptimWrapper(
            **{
                name: build_optim_wrapper(
                    parts[name], {**self.shared, **member}
                )
                for name, member in self.members.items()
            }
        )


def _require_frozen(parts: dict[str, nn.Module], members: list[str]) -> None:
    for name, part in parts.items():
        if any(p.requires_grad for p in part.parameters()):
            raise UserError(
                f'optim_wrapper.members: has {members}, expected {STUDENT!r} '
                f'among them, which trains {name}'
            )
