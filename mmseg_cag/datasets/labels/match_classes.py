# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from collections.abc import Iterable, Sequence

from mmseg_cag.errors import UserError


def match_classes(
    classes: Sequence[str],
    names: Iterable[str],
    merge: dict[str, str],
    absent: Iterable[str] = (),
) -> dict[str, int]:
    """Match the classes of label files to those that are trained, by name.

    Args:
        classes: The classes that are trained, in the order of their train
            ids.
        names: The classes of the files.
        merge: A class of the files -> the trained class that it joins.
        absent: Trained classes that the files may lack.

    Returns:
        The train id of each name that has one; the others are not trained.

    Raises:
        UserError: A class is named twice or is unknown where it is named, or
            a trained one has no name among the files'.
    """
    names = list(names)
    _require_distinct('classes', classes)
    _require_known('merge', merge, names, 'ids')
    _require_known('merge', merge.values(), classes, 'classes')
    _require_known('absent', absent, classes, 'classes')
    joined = {name: merge.get(name, name) for name in names}
    for name in classes:
        if name not in joined.values() and name not in absent:
            raise UserError(
                f'classes: {name!r} is no class of the files, which have '
                f'{", ".join(names)}; merge one into it, or list it in '
                'absent if they lack it'
            )
    index = {name: train_id for train_id, name in enumerate(classes)}
    return {n: index[j] for n, j in joined.items() if j in index}


def _require_distinct(key: str, names: Sequence[str]) -> None:
    for name in names:
        if list(names).count(name) > 1:
            raise UserError(f'{key}: {name!r} is listed twice')


def _require_known(
    key: str, names: Iterable[str], known: Iterable[str], where: str
) -> None:
    for name in names:
        if name not in known:
            raise UserError(
                f'{key}: {name!r} is not among {where}, expected one of '
                f'{", ".join(known)}'
            )
