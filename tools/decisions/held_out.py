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


def held_out(cfg: Config, roles: Roles | None, pattern: str | None) -> HeldOut:
    """Find the images to certify on.

    Args:
        cfg: The run's config.
        roles: The roles file, whose ``certify`` images are used; without one,
            all images of ``test_dataloader``.
        pattern: Regular expression for the group in an image's name.

    Raises:
        UserError: There are none, or a file has changed.
    """
    dataset = build_dataset(labelled_target(cfg), 'test_dataloader.dataset')
    classes, key = dataset.metainfo['classes'], 'test_dataloader.dataset'
    indices = list(range(len(dataset)))
    known = [''] * len(indices)
    if roles:
        roles.require_classes(classes, key)
        images = roles.require('certify')
        indices = indices_of(dataset, images, key)
        known = [image.group for image in images]
    groups = []
    for index, group in zip(indices, known, strict=True):
        name = image_name(dataset, dataset.get_data_info(index)['img_path'])
        groups.append(_group_of(name, group, pattern))
    return HeldOut(dataset, indices, groups)


def roles_of(cfg: Config, path: str | None) -> Roles | None:
    """Read the roles file named by a command or its config, if any."""
    path = path or cfg.get('roles')
    return read_roles(path) if path else None


def labelled_target(cfg: Config) -> dict:
    """Find the config of the labelled target that roles refer to.

    Its images are read as those of a test, whatever training does to them.

    Raises:
        UserError: The config has none.
    """
    test = (cfg.get('test_dataloader') or {}).get('dataset')
    if test is None:
        raise UserError(
            'test_dataloader: not set, expected labelled images of the target'
        )
    *_, (_, _, part) = leaves(test, 'test_dataloader.dataset')
    for node in walk(cfg.to_dict()):
        if node.get('type') == 'RoleSubset' and node.get('role'):
            if 'dataset' in node:
                seen = dict(pipeline=part['pipeline'], test_mode=True)
                return {**node['dataset'], **seen}
    return part


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
