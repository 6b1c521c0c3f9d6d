# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from pathlib import Path

from mmseg_cag.errors import UserError


def require_inside(path: Path, root: Path) -> None:
    """Check that a path that strangers named stays in its folder.

    Args:
        path: A file or folder, there or not.
        root: The folder.

    Raises:
        UserError: By ``..`` or by a symlink it leads elsewhere.
    """
    if not path.resolve().is_relative_to(root.resolve()):
        raise UserError(
            f'{path}: leads to {path.resolve()}, expected a place in {root}'
        )
