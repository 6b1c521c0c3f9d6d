# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Select images to certify on and check that the network never saw them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mmengine.config import Config
from mmseg.datasets import BaseSegDataset
from mmseg.registry import DATASETS

from mmseg_cag.analysis.runs.samples import build_dataset
from mmseg_cag.datasets.dataset_configs import leaves
from mmseg_cag.datasets.roles import (
    Roles,
    file_sha256,
    image_name,
    indices_of,
    read_roles,
)
from mmseg_cag.errors import UserError
from mmseg_cag.launch.stages import walk

from .near_duplicates import near_pairs, thumbnails


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


def seen_images(
    cfg: Config, checkpoints: Sequence[Path]
) -> dict[str, list[tuple[str, dict | None]]]:
    """List the images used to train or select a run.

    Args:
        cfg: The run's config.
        checkpoints: Those to certify; a best checkpoint was selected on the
            validation set.

    Returns:
        The files and their backend arguments, by use.
    """
    found: dict[str, list[tuple[str, dict | None]]] = {}
    uses = {
        'train_dataloader': 'trained on',
        'anchor_dataloader': 'trained on',
    }
    if any(path.name.startswith('best') for path in checkpoints):
        uses['val_dataloader'] = 'chosen on'
    for loader, use in uses.items():
        dataset = (cfg.get(loader) or {}).get('dataset')
        if dataset:
            built = DATASETS.build(dataset)
            found.setdefault(use, []).extend(_images(built))
    return found


def _images(dataset: object) -> Iterator[tuple[str, dict | None]]:
    """List the images that a built dataset, or a wrapper, reads."""
    if hasattr(dataset, 'domains'):
        for part in dataset.domains.values():
            yield from _images(part)
    elif hasattr(dataset, 'datasets'):
        for part in dataset.datasets:
            yield from _images(part)
    elif hasattr(dataset, 'get_data_info'):
        backend = getattr(dataset, 'backend_args', None)
        for index in range(len(dataset)):
            yield dataset.get_data_info(index)['img_path'], backend
    else:
        yield from _images(dataset.dataset)


def require_unseen(
    held: HeldOut, seen: dict[str, list], roles: Roles | None
) -> None:
    """Refuse a set that contains an image used for training or selection.

    Compares the contents of the files.

    Raises:
        UserError: It contains such an image.
    """
    backend = held.dataset.backend_args
    own = {file_sha256(path, backend): path for path in held.paths}
    for role in ('train', 'choose') if roles else ():
        for image in roles.of(role):
            if image.image_sha256 in own:
                _refuse(own[image.image_sha256], image.image, f'for {role}')
    sizes = {_size(path) for path in held.paths}
    for use, files in seen.items():
        for path, arguments in files:
            # If lengths are known, only files of equal length are read.
            if None not in sizes and _size(path) not in {*sizes, None}:
                continue
            found = own.get(file_sha256(path, arguments))
            if found:
                _refuse(found, path, use)


def _refuse(path: str, other: str, use: str) -> None:
    raise UserError(
        f'{path}: the same image as {other}, which was {use}; expected '
        'images unused for training and selection'
    )


def _size(path: str) -> int | None:
    """Return a file's length; None if only its backend knows it."""
    try:
        return os.path.getsize(path)
    except OSError:
        return None


def near_seen(
    held: HeldOut, seen: dict[str, list], at_most: int = 5000
) -> list[tuple[str, str]]:
    """List near-duplicates of images used for training or selection.

    Args:
        held: The images to certify on.
        seen: Images used by the run.
        at_most: Number of images compared per use, evenly spaced.
    """
    own = thumbnails(held.paths, held.dataset.backend_args)
    pairs = []
    for files in seen.values():
        step = -(-len(files) // at_most) or 1
        for path, arguments in files[::step]:
            near = near_pairs(own, thumbnails([path], arguments))
            pairs += [(held.paths[i], path) for i, _ in near]
    return pairs
