# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Roles file that splits labelled target images into three roles.

.. code:: text

   {"format": "mmseg_cag roles 1",
    "classes": ["road", "building"],
    "group": "drive [0-9]+",
    "train":   [{"image": "images/a.png", "image_sha256": "...",
                 "label_sha256": "...", "group": "drive 1"}],
    "choose":  [...],
    "certify": [...]}

Images are named relative to their dataset's ``data_root``, so that the file
works on any machine, and identified by content. ``group`` is the expression
that finds an image's group in its name; without groups it may be left out.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path, PurePath

from mmengine import fileio
from mmseg.datasets import BaseSegDataset

from mmseg_cag.errors import MissingFileError, UserError
from mmseg_cag.fileio.json_file import read_json, write_json

FORMAT = 'mmseg_cag roles 1'
# For training; for choosing checkpoints, margins and thresholds; for one final
# measurement.
ROLES = ('train', 'choose', 'certify')


@dataclass(frozen=True)
class LabelledImage:
    """A labelled target image.

    Attributes:
        image: Its path below ``data_root``, with ``/`` between the parts.
        image_sha256: Hash of the image's file.
        label_sha256: Hash of the label's file.
        group: Recording it belongs to, such as a drive; may be empty.
    """

    image: str
    image_sha256: str
    label_sha256: str
    group: str = ''


@dataclass(frozen=True)
class Roles:
    """Assignment of labelled images to roles.

    Attributes:
        classes: Names of the classes, in the order of the network's outputs.
        images: The images of each role.
        path: Its file, for messages.
        group: Regular expression for the group in an image's name; may be
            empty.

    Raises:
        UserError: An image occurs twice, in one or two roles.
    """

    classes: tuple[str, ...]
    images: Mapping[str, Sequence[LabelledImage]]
    path: str = 'roles'
    group: str = ''

    def __post_init__(self) -> None:
        seen: dict[str, str] = {}
        for role in ROLES:
            for one in self.of(role):
                if one.image_sha256 in seen:
                    raise UserError(
                        f'{self.path}: {one.image} of {role} is '
                        f'{seen[one.image_sha256]}, expected each image once, '
                        'in one role'
                    )
                seen[one.image_sha256] = f'{one.image} of {role}'

    def of(self, role: str) -> Sequence[LabelledImage]:
        """List the images of a role, possibly none."""
        return self.images.get(role, ())

    def require(self, role: str) -> Sequence[LabelledImage]:
        """List the images of a role, at least one.

        Raises:
            UserError: The role is empty.
        """
        if not self.of(role):
            raise UserError(
                f'{self.path}: no image has the role {role}, expected some'
            )
        return self.of(role)

    def require_classes(self, classes: Iterable[str], key: str) -> None:
        """Check that the labels have a network's classes.

        Args:
            classes: Classes of the network.
            key: Their origin, for the error.

        Raises:
            UserError: They, or their order, differ.
        """
        if (found := list(classes)) != list(self.classes):
            raise UserError(
                f'{self.path}: labels of the classes {list(self.classes)}, '
                f'expected {found}, those of {key}'
            )

    def holds(self, *roles: str) -> Callable[[str], bool]:
        """Return a test whether an image, or one of its group, has a role.

        Args:
            roles: The roles.

        Raises:
            UserError: They have groups, and the file no expression for those
                of other images.
        """
        held = [one for role in roles for one in self.of(role)]
        names = {one.image for one in held}
        groups = {one.group for one in held} - {''}
        if groups and not self.group:
            raise UserError(
                f'{self.path}: has the group {min(groups)}, expected "group", '
                'the expression that finds it in names, for those of others'
            )

        def is_held(name: str) -> bool:
            found = re.search(self.group, name) if groups else None
            return name in names or bool(found and found[0] in groups)

        return is_held


def read_roles(path: str | Path) -> Roles:
    """Read a roles file.

    Raises:
        UserError: It is invalid, or its roles overlap.
        MissingFileError: There is no such file.
    """
    if not Path(path).is_file():
        raise MissingFileError(f'{path}: not found, expected a roles file')
    content = read_json(Path(path))
    if content.pop('format', None) != FORMAT:
        raise UserError(f'{path}: expected "format": "{FORMAT}"')
    classes = content.pop('classes', None)
    if not _are_texts(classes):
        raise UserError(f'{path}: expected classes, a list of names')
    group = content.pop('group', '')
    try:
        re.compile(group)
    except (re.error, TypeError):
        raise UserError(
            f'{path}: group is {group}, expected a regular expression'
        ) from None
    if unknown := [*content.keys() - {*ROLES}]:
        raise UserError(
            f'{path}: has the role {unknown[0]}, expected {", ".join(ROLES)}'
        )
    for role, entries in content.items():
        if not isinstance(entries, list):
            raise UserError(f'{path}: {role}: expected a list of images')
    images = {
        role: [_read_image(one, f'{path}: {role}') for one in entries]
        for role, entries in content.items()
    }
    return Roles(tuple(classes), images, str(path), group)


def _are_texts(values: object) -> bool:
    return isinstance(values, list) and all(
        isinstance(value, str) for value in values
    )


def _read_image(entry: object, place: str) -> LabelledImage:
    names = [field.name for field in fields(LabelledImage)]
    try:
        if not _are_texts([*entry.values()]):
            raise TypeError
        return LabelledImage(**entry)
    except (TypeError, AttributeError):
        raise UserError(
            f'{place}: holds {str(entry)[:80]}, expected strings with the '
            f'keys {", ".join(names)}'
        ) from None


def write_roles(path: str | Path, roles: Roles) -> None:
    """Write a roles file atomically.

    Raises:
        UserError: The file exists.
    """
    if Path(path).exists():
        raise UserError(f'{path}: already exists, expected a new file')
    lists = {role: [asdict(one) for one in roles.of(role)] for role in ROLES}
    head = {'format': FORMAT, 'classes': list(roles.classes)}
    if roles.group:
        head['group'] = roles.group
    write_json(Path(path), {**head, **lists})


def file_sha256(path: str, backend_args: dict | None = None) -> str:
    """Hash the content of a file, which may be inside a zip file."""
    content = fileio.get(path, backend_args=backend_args)
    return hashlib.sha256(content).hexdigest()


def image_name(dataset: BaseSegDataset, path: str) -> str:
    """Return the name of an image as used in roles files."""
    return PurePath(os.path.relpath(path, dataset.data_root or '')).as_posix()


def has_label(dataset: BaseSegDataset, info: dict) -> bool:
    """Check whether the label file of a sample exists.

    Args:
        dataset: Its dataset.
        info: What ``get_data_info`` returns for it.
    """
    path = info.get('seg_map_path')
    backend = dataset.backend_args
    return bool(path) and fileio.exists(path, backend_args=backend)


def labelled_images(
    dataset: BaseSegDataset,
    indices: Iterable[int],
    group: Callable[[str], str] = lambda name: '',
) -> list[LabelledImage]:
    """Describe samples of a dataset for a roles file.

    Args:
        dataset: Labelled dataset.
        indices: Its samples.
        group: Function from an image name to its group.

    Raises:
        MissingFileError: A sample has no label.
    """
    images = []
    for index in indices:
        info = dataset.get_data_info(index)
        name = image_name(dataset, info['img_path'])
        hashes = [
            _hash_of(dataset, info.get(key) or f'label of {name}')
            for key in ('img_path', 'seg_map_path')
        ]
        images.append(LabelledImage(name, *hashes, group(name)))
    return images


def _hash_of(dataset: BaseSegDataset, path: str) -> str:
    try:
        return file_sha256(path, dataset.backend_args)
    except OSError as error:
        raise MissingFileError(f'{path}: not found') from error


def indices_of(
    dataset: BaseSegDataset,
    images: Sequence[LabelledImage],
    key: str,
    labelled: bool = True,
) -> list[int]:
    """Find the images of a role in a dataset.

    Args:
        dataset: The target's images.
        images: Images to find.
        key: The dataset's config key, for errors.
        labelled: Whether to compare labels, too.

    Raises:
        UserError: An image is missing or has changed.
    """
    infos = [dataset.get_data_info(i) for i in range(len(dataset))]
    index_by_name = {
        image_name(dataset, info['img_path']): index
        for index, info in enumerate(infos)
    }
    found = []
    for one in images:
        if one.image not in index_by_name:
            raise UserError(
                f'{one.image}: has a role but is not among the images of '
                f'{key}, expected a name below {dataset.data_root or "."}'
            )
        index = index_by_name[one.image]
        _require_same(dataset, infos[index]['img_path'], one.image_sha256)
        if labelled:
            path = infos[index].get('seg_map_path') or f'label of {one.image}'
            _require_same(dataset, path, one.label_sha256)
        found.append(index)
    return found


def _require_same(dataset: BaseSegDataset, path: str, sha256: str) -> None:
    if _hash_of(dataset, path) != sha256:
        raise UserError(
            f'{path}: has changed since it got its role, expected the file '
            f'with the hash {sha256[:12]}'
        )
