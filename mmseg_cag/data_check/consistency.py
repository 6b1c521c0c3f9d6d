# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path

from mmseg_cag.datasets.inspection.dataset_inputs import DatasetInput
from mmseg_cag.datasets.inspection.drawing_record import (
    CLAIM,
    MANIFEST,
    read_manifest,
)
from mmseg_cag.datasets.inspection.finding import Finding

from .folders import PUBLISHERS, publisher_of

HEADS = ('decode_head', 'auxiliary_head')


def check_class_names(readings: Sequence[DatasetInput]) -> Iterator[Finding]:
    """Check that all datasets have the same classes.

    Also that transforms with classes match their dataset.
    """
    for reading in readings:
        named = list(getattr(reading.labels, 'classes', reading.classes))
        if named != reading.classes:
            yield Finding(
                'class names differ',
                f'{reading.key}.pipeline',
                f'{_difference(named, reading.classes)} metainfo.classes',
            )
    for reading in readings[1:]:
        if reading.classes != readings[0].classes:
            yield Finding(
                'class names differ',
                reading.key,
                f'{_difference(reading.classes, readings[0].classes)} '
                f'{readings[0].key}',
            )


def _difference(found: list[str], wanted: list[str]) -> str:
    lacking = [name for name in wanted if name not in found]
    added = [name for name in found if name not in wanted]
    if not lacking and not added:
        return 'has the same classes in another order than'
    parts = [
        f'{verb} {", ".join(names)}'
        for verb, names in (('lacks', lacking), ('adds', added))
        if names
    ]
    return f'{" and ".join(parts)}, compared with'


def check_class_count(model: dict, classes: int) -> Iterator[Finding]:
    """Check that every head's number of classes matches the data.

    Args:
        model: Config of the network.
        classes: Number of classes of the data.
    """
    for key, head in _heads(model, 'model'):
        found = head.get('num_classes', classes)
        if max(found, 2) != classes:
            sigmoid = ' (one sigmoid, for two classes)' if found == 1 else ''
            plural = 'es' if classes != 1 else ''
            yield Finding(
                'class count differs',
                f'{key}.num_classes',
                f'is {found}{sigmoid}, but the data have {classes} '
                f'class{plural}',
            )


def _heads(cfg: object, key: str) -> Iterator[tuple[str, dict]]:
    """Yield every head of a network's config with its key."""
    if isinstance(cfg, dict):
        for name, value in cfg.items():
            if name in HEADS and isinstance(value, dict):
                yield f'{key}.{name}', value
            else:
                yield from _heads(value, f'{key}.{name}')
    elif isinstance(cfg, (list, tuple)):
        for index, value in enumerate(cfg):
            parent = key.rsplit('.', 1)[-1]
            if parent in HEADS and isinstance(value, dict):
                yield f'{key}.{index}', value
            else:
                yield from _heads(value, f'{key}.{index}')


TRAINING, EVALUATION = ('train', 'source', 'target'), ('val', 'test')


def check_names(reading: DatasetInput) -> Iterator[Finding]:
    """Check that file names do not match another dataset's."""
    own = publisher_of(reading.dataset)
    names = [Path(sample['img_path']).name for sample in reading.samples]
    if own is None or _share(own.file_name, names) > 0:
        return
    others = [p.name for p in PUBLISHERS if _share(p.file_name, names) == 1]
    if others:
        yield Finding(
            'swapped domains',
            reading.folder('img_path'),
            f'{reading.key} ({reading.kind}) reads files named like '
            f'{" or ".join(others)}, such as {names[0]}',
        )


def _share(pattern: object, names: list[str]) -> float:
    return sum(bool(pattern.fullmatch(name)) for name in names) / len(names)


def check_target(reading: DatasetInput) -> Iterator[Finding]:
    """Check that training does not read target labels."""
    if reading.role == 'target' and reading.labels is not None:
        yield Finding(
            'target labels read',
            f'{reading.key}.pipeline',
            f'{type(reading.labels).__name__} would read labels of the target',
        )


def check_overlap(readings: Sequence[DatasetInput]) -> Iterator[Finding]:
    """Check that no image has two incompatible roles."""
    images = [_images(reading) for reading in readings]
    for first, second in combinations(range(len(readings)), 2):
        by_role = {readings[i].role: readings[i] for i in (first, second)}
        roles = {*by_role}
        if roles == {'source', 'target'}:
            if _is_kept(**by_role):
                continue
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
                f'is read by {keys[0]} and {keys[1]}, like {len(shared)} '
                'images in total',
            )


def _is_kept(source: DatasetInput, target: DatasetInput) -> bool:
    """Whether images are labelled in the source, and unlabelled in the target.

    So they are by ``RoleSubset(without=['choose', 'certify'])``, which keeps
    the images with the role `train`.
    """
    roles = [getattr(r.dataset, 'roles_file', None) for r in (source, target)]
    return (
        None not in roles
        and roles[0] == roles[1]
        and (source.dataset.role, target.dataset.role) == ('train', None)
        and target.labels is None
    )


def check_anchors(readings: Sequence[DatasetInput]) -> Iterator[Finding]:
    """Check that anchors are computed on the training images."""
    sources = [r for r in readings if r.role in ('train', 'source')]
    trained = [source.folder('img_path') for source in sources]
    for reading in readings:
        folder = reading.folder('img_path')
        if reading.role == 'anchors' and trained and folder not in trained:
            yield Finding(
                'anchors of other data',
                reading.key,
                f'reads {folder}, but {sources[0].key} {trained[0]}',
            )


def _images(reading: DatasetInput) -> set[str]:
    """Return image paths with folder links resolved."""
    folders: dict[str, str] = {}
    paths = set()
    for sample in reading.samples:
        folder, name = os.path.split(sample['img_path'])
        if folder not in folders:
            local = '://' not in folder
            folders[folder] = os.path.realpath(folder) if local else folder
        paths.add(os.path.join(folders[folder], name))
    return paths


# Part of minitown by the end of an image folder's path.
TOWNS = {
    'gta/images': 'source',
    'cityscapes/leftImg8bit/train': 'target',
    'cityscapes/leftImg8bit/val': 'val',
    'synthia/RGB': 'synthia',
}


def check_count(reading: DatasetInput) -> Iterator[Finding]:
    """Compare the number of images with the published or drawn one.

    For minitown its drawing record counts instead.
    """
    if reading.is_subset:
        return
    where = reading.folder('img_path')
    folder = Path(where)
    if any((parent / CLAIM).is_file() for parent in folder.parents):
        yield Finding(
            'unfinished minitown', where, 'its drawing was interrupted'
        )
        return
    name, expected = _drawn(folder) or _published(reading, folder)
    found = len(reading.samples)
    if expected not in (None, found):
        yield Finding(
            'unexpected count',
            where,
            f'{name} has {expected} images, found {found}',
        )


def _published(reading: DatasetInput, folder: Path) -> tuple[str, int | None]:
    publisher = publisher_of(reading.dataset)
    if publisher is None:
        return '', None
    for end, count in publisher.counts.items():
        if folder.as_posix().endswith(end):
            return publisher.name, count
    return publisher.name, None


def _drawn(folder: Path) -> tuple[str, int] | None:
    found = _record(folder)
    if found is None:
        return None
    record, town = found
    return 'this minitown', record['arguments'][town]


def never_drawn(folder: Path) -> set[int]:
    """Return the train ids without pixels in a part of minitown."""
    found = _record(folder)
    if found is None:
        return set()
    record, town = found
    shares = record['pixel_shares'][town].values()
    return {i for i, share in enumerate(shares) if not share}


def _record(folder: Path) -> tuple[dict, str] | None:
    for parent in folder.parents:
        path = parent / MANIFEST
        if path.is_file():
            town = TOWNS.get(folder.relative_to(parent).as_posix())
            return (read_manifest(path), town) if town else None
    return None
