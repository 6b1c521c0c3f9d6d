# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Select the labelled target images to certify on."""

from __future__ import annotations

import re
from dataclasses import dataclass

from mmengine.config import Config
from mmseg.datasets import BaseSegDataset

from mmseg_cag.analysis.runs.samples import build_dataset
from mmseg_cag.datasets.dataset_configs import leaves
from mmseg_cag.datasets.roles import (
    ROLES,
    Roles,
    image_name,
    indices_of,
    read_roles,
)
from mmseg_cag.errors import UserError
from mmseg_cag.launch.stages import walk


@dataclass(frozen=True)
class HeldOut:
    """Labelled images unused for training and selection.

    Attributes:
        dataset: Dataset that contains them.
        indices: Their indices in it.
        groups: Group of each image, such as its drive or tile; its own name if
            unknown.
    """

    dataset: BaseSegDataset
    indices: list[int]
    groups: list[str]

    @property
    def paths(self) -> list[str]:
        """Return the paths of the images."""
        infos = map(self.dataset.get_data_info, self.indices)
        return [info['img_path'] for info in infos]


def held_out(
    cfg: Config,
    roles: Roles | None,
    pattern: str | None,
    role: str = 'certify',
) -> HeldOut:
    """Find the images to evaluate on.

    Args:
        cfg: The run's config.
        roles: The roles file; without one, all images of ``test_dataloader``
            are used.
        pattern: Regular expression for the group in an image's name.
        role: Role of the images in that file.

    Raises:
        UserError: There are none, or a file has changed.
    """
    key, target = labelled_target(cfg, roles)
    dataset = build_dataset(target, key)
    indices = list(range(len(dataset)))
    known = [''] * len(indices)
    if roles:
        roles.require_classes(dataset.metainfo['classes'], key)
        images = roles.require(role)
        indices = indices_of(dataset, images, key)
        known = [image.group for image in images]
    groups = []
    for index, group in zip(indices, known, strict=True):
        name = image_name(dataset, dataset.get_data_info(index)['img_path'])
        groups.append(_group_of(name, group, pattern))
    return HeldOut(dataset, indices, groups)


def roles_of(cfg: Config, path: str | None) -> Roles | None:
    """Read the roles file named by a command or its config, if any."""
    path = path or roles_path(cfg)
    return read_roles(path) if path else None


def roles_path(cfg: Config) -> str | None:
    """Return a config's ``roles``, or the file of its test's `RoleSubset`."""
    test = cfg.get('test_dataloader') or {}
    subsets = (n for n in walk(test) if n.get('type') == 'RoleSubset')
    return cfg.get('roles') or next(subsets, {}).get('roles')


def labelled_target(cfg: Config, roles: Roles | None) -> tuple[str, dict]:
    """Find the config of the labelled target that roles refer to.

    The first that has an image with a role: the dataset of the config's
    `RoleSubset`, ``target_labelled``, from which tools/assign_roles.py draws,
    or that of ``test_dataloader``. Without roles, the latter. Its images are
    read as those of a test, whatever training does to them. Images that are
    not on this machine are passed over.

    Returns:
        Its key, for errors, and the config.

    Raises:
        UserError: The config has none, or without roles several, or none of
            those that can be read has an image with a role and another cannot
            be read.
    """
    test = (cfg.get('test_dataloader') or {}).get('dataset')
    if test is None:
        raise UserError(
            'test_dataloader: not set, expected labelled images of the target'
        )
    parts = {k: one for k, _, one in leaves(test, 'test_dataloader.dataset')}
    if len(parts) > 1 and not roles:
        raise UserError(
            f'test_dataloader.dataset: combines {len(parts)} data sets, '
            'expected a single one, or a roles file (docs/labels.md)'
        )
    subsets = (
        node['dataset']
        for node in walk(cfg.to_dict())
        if node.get('type') == 'RoleSubset'
        and node.get('role')
        and 'dataset' in node
    )
    given = {
        'RoleSubset.dataset': next(subsets, None),
        'target_labelled': cfg.get('target_labelled'),
    }
    *_, last = parts.values()
    seen = dict(pipeline=last['pipeline'], test_mode=True)
    found = {k: {**one, **seen} for k, one in given.items() if one and roles}
    found |= parts
    faults = []
    for key, one in found.items() if roles else ():
        try:
            if _has_some(build_dataset(one, key), roles):
                return key, one
        except UserError as error:
            faults.append(error)
    if faults:
        raise faults[0]
    return next(iter(found.items()))


def _has_some(dataset: BaseSegDataset, roles: Roles) -> bool:
    infos = map(dataset.get_data_info, range(len(dataset)))
    names = {image_name(dataset, info['img_path']) for info in infos}
    return any(one.image in names for role in ROLES for one in roles.of(role))


def _group_of(name: str, group: str, pattern: str | None) -> str:
    if pattern is None:
        return group or name
    found = re.search(pattern, name)
    if found is None:
        raise UserError(
            f'{name}: --group {pattern} does not match it, expected an '
            'expression that finds the group of every image'
        )
    return found[0]
