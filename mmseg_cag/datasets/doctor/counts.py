# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ..minitown.manifest import CLAIM, MANIFEST, read_manifest
from .finding import Finding
from .publishers import publisher_of
from .reading import Reading

# The part of minitown that a folder of images is, by the end of its path.
TOWNS = {
    'gta/images': 'source',
    'cityscapes/leftImg8bit/train': 'target',
    'cityscapes/leftImg8bit/val': 'val',
    'synthia/RGB': 'synthia',
}


def check_count(reading: Reading) -> Iterator[Finding]:
    """Compare the number of images with what was published or drawn.

    Minitown keeps a record of what was drawn, which counts instead.
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


def _published(reading: Reading, folder: Path) -> tuple[str, int | None]:
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
    """Train ids without a pixel in a part of minitown, by its record."""
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
