# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path

from .finding import Finding
from .publishers import PUBLISHERS, publisher_of
from .reading import Reading

TRAINING, EVALUATION = ('train', 'source', 'target'), ('val', 'test')


def check_names(reading: Reading) -> Iterator[Finding]:
    """Check that the files are not named as those of other data."""
    own = publisher_of(reading.dataset)
    names = [Path(sample['img_path']).name for sample in reading.samples]
    if own is None or _share(own.file_name, names) > 0:
        return
    for other in PUBLISHERS:
        if _share(other.file_name, names) == 1:
            yield Finding(
                'swapped domains',
                reading.folder('img_path'),
                f'{reading.key} ({reading.kind}) reads files named as in '
                f'{other.name}, such as {names[0]}',
            )


def _share(pattern: object, names: list[str]) -> float:
    return sum(bool(pattern.fullmatch(name)) for name in names) / len(names)


def check_target(reading: Reading) -> Iterator[Finding]:
    """Check that no label of the target is opened in training."""
    if reading.role == 'target' and reading.labels is not None:
        yield Finding(
            'target labels read',
            f'{reading.key}.pipeline',
            f'{type(reading.labels).__name__} would read labels of the target',
        )


def check_overlap(readings: Sequence[Reading]) -> Iterator[Finding]:
    """Check that no image has two roles that exclude each other."""
    images = [_images(reading) for reading in readings]
    for first, second in combinations(range(len(readings)), 2):
        roles = {readings[first].role, readings[second].role}
        if roles == {'source', 'target'}:
            name = 'same images'
        elif roles.intersection(TRAINING) and roles.intersection(EVALUATION):
            name = 'training images evaluated'
        else:
            continue
        shared = sorted(images[first] & images[second])
        if shared:
            keys = (readings[first].key, readings[second].key)
            yield Finding(
                name,
                shared[0],
                f'is read by {keys[0]} and {keys[1]}, as are '
                f'{len(shared)} images in all',
            )


def _images(reading: Reading) -> set[str]:
    """Paths of the images, with links among the folders followed."""
    folders: dict[str, str] = {}
    paths = set()
    for sample in reading.samples:
        folder, name = os.path.split(sample['img_path'])
        if folder not in folders:
            local = '://' not in folder
            folders[folder] = os.path.realpath(folder) if local else folder
        paths.add(os.path.join(folders[folder], name))
    return paths
