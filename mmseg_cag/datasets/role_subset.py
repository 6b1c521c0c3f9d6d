# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmseg.datasets import BaseSegDataset
from mmseg.registry import DATASETS

from mmseg_cag.errors import UserError, require_one_of

from .roles import ROLES, Roles, image_name, indices_of, read_roles


@DATASETS.register_module(name='RoleSubset')
def role_subset(
    dataset: dict,
    roles: str,
    role: str | None = None,
    first: int | None = None,
    without: Sequence[str] = ROLES,
    **changes: Any,
) -> BaseSegDataset:
    """Build the images of a data set that have a role, or that have none.

    Each image of a role is there, and the same file as when it got its role;
    so is its label, where the data set reads labels.

    Args:
        dataset: Config of the target's data set.
        roles: The file of roles.
        role: The role whose images are taken, in the file's order; None takes
            the images that have none of ``without``.
        first: How many of the role; None for all.
        without: Roles whose images are left out, where ``role`` is None.
        **changes: Further settings of the data set.

    Raises:
        UserError: The file is wrong, its classes are not the data set's, or
            the role is empty or has an image that is not in the data set.
    """
    found = read_roles(roles)
    for name in [role] if role else without:
        require_one_of('RoleSubset: role', name, ROLES)
    plain = {**dataset, **changes}
    whole = DATASETS.build({**plain, 'lazy_init': False})
    found.require_classes(whole.metainfo['classes'], 'the data set')
    if role:
        indices = _with_role(whole, found, role, first)
    else:
        indices = _without(whole, found, without)
    if not indices:
        raise UserError(
            f'{roles}: all {len(whole)} images of the target have a role, '
            'expected some without to adapt on'
        )
    return DATASETS.build({**plain, 'indices': indices})


def _with_role(
    dataset: BaseSegDataset, roles: Roles, role: str, first: int | None
) -> list[int]:
    images = roles.require(role)
    if first is not None and not 1 <= first <= len(images):
        raise UserError(
            f'{roles.path}: {role} has {len(images)} images, expected first='
            f'{first} or more of them'
        )
    labelled = bool(dataset.data_prefix.get('seg_map_path'))
    return indices_of(dataset, images[:first], 'the data set', labelled)


def _without(
    dataset: BaseSegDataset, roles: Roles, without: Sequence[str]
) -> list[int]:
    names = [
        image_name(dataset, dataset.get_data_info(i)['img_path'])
        for i in range(len(dataset))
    ]
    present = {*names}
    # Of those that are elsewhere, such as among the validation images, none
    # is here; the others are the files that got the role.
    here = [
        image
        for role in without
        for image in roles.of(role)
        if image.image in present
    ]
    left_out = {*indices_of(dataset, here, 'the data set', labelled=False)}
    return [i for i in range(len(names)) if i not in left_out]
