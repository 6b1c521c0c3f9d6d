# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mmseg.datasets import BaseSegDataset
from mmseg.registry import DATASETS

from mmseg_cag.errors import UserError, require_one_of

from .roles import (
    ROLES,
    LabelledImage,
    Roles,
    file_sha256,
    image_name,
    indices_of,
    read_roles,
)


@DATASETS.register_module(name='RoleSubset')
def role_subset(
    dataset: dict,
    roles: str,
    role: str | None = None,
    first: int | None = None,
    without: Sequence[str] = ROLES,
    **changes: Any,
) -> BaseSegDataset:
    """Build the subset of a dataset with a role, or without any.

    Checks that the images of a role, and the labels if the dataset reads them,
    exist and are unchanged since the role was assigned.

    Args:
        dataset: Config of the target's data set.
        roles: The roles file.
        role: Role to select, in the file's order; None selects images without
            the roles in ``without``.
        first: Maximum number of images; None for all.
        without: Roles to exclude if ``role`` is None.
        **changes: Further settings of the dataset.

    Raises:
        UserError: The dataset wraps others, the file is invalid, its classes
            differ, or the role is empty or has an image that is not in it.
    """
    found = read_roles(roles)
    for name in [role] if role else without:
        require_one_of('RoleSubset: role', name, ROLES)
    if {'dataset', 'datasets', 'members'} & dataset.keys():
        raise UserError(
            f'RoleSubset: dataset is a {dataset.get("type")}, expected a '
            'single data set, such as one of the parent folder'
        )
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
    subset = DATASETS.build({**plain, 'indices': indices})
    subset.roles_file, subset.role = roles, role  # for the data check
    return subset


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
    # Images elsewhere, such as in the validation set, are not in this one; the
    # others must be unchanged.
    given = [image for role in without for image in roles.of(role)]
    here = [image for image in given if image.image in present]
    left_out = {*indices_of(dataset, here, 'the data set', labelled=False)}
    left_out |= {*_copies(dataset, names, given)}
    return [i for i in range(len(names)) if i not in left_out]


def _copies(
    dataset: BaseSegDataset, names: list[str], given: list[LabelledImage]
) -> Iterator[int]:
    """Find copies in other folders: same file name, same content."""
    listed = {image.image for image in given}
    alike = {Path(name).name for name in listed}
    hashes = {image.image_sha256 for image in given}
    for index, name in enumerate(names):
        if Path(name).name not in alike or name in listed:
            continue
        path = dataset.get_data_info(index)['img_path']
        if file_sha256(path, dataset.backend_args) in hashes:
            yield index
