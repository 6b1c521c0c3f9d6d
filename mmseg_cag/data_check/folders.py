# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Folder layouts of published datasets and their checks."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from mmengine import fileio
from mmseg.datasets import CityscapesDataset, DarkZurichDataset

from mmseg_cag.datasets.inspection.dataset_inputs import DatasetInput
from mmseg_cag.datasets.inspection.finding import Finding
from mmseg_cag.datasets.label_formats import WRITTEN_SUFFIX
from mmseg_cag.datasets.published import (
    ACDCDataset,
    GTADataset,
    SYNTHIADataset,
)
from mmseg_cag.fileio.images import is_hidden

SHOWN = 6  # folders or endings listed in a message
NOT_SET = {
    'img_path': ('missing folder', 'the images'),
    'seg_map_path': ('no label folder', 'the labels'),
}


def check_folders(reading: DatasetInput) -> Iterator[Finding]:
    """Check that folders exist and belong to the right dataset."""
    for prefix in tuple(NOT_SET)[: 1 + reading.labelled]:
        key = f'{reading.key}.data_prefix.{prefix}'
        folder = reading.folder(prefix)
        if folder is None:
            name, of = NOT_SET[prefix]
            yield Finding(name, key, f'not set, expected the folder of {of}')
        elif not fileio.isdir(
            folder, backend_args=reading.dataset.backend_args
        ):
            yield _missing(reading, folder)
    yield from _check_sequence(reading)


def _missing(reading: DatasetInput, folder: str) -> Finding:
    own = publisher_of(reading.dataset)
    root = reading.dataset.data_root or os.path.dirname(folder)
    for other in PUBLISHERS:
        held = all(
            fileio.isdir(
                os.path.join(root, name),
                backend_args=reading.dataset.backend_args,
            )
            for name in other.folders
        )
        if own not in (None, other) and held:
            return Finding(
                'swapped domains',
                root,
                f'{reading.key} ({reading.kind}) expects {own.name}, found '
                f'the folders of {other.name}: {" and ".join(other.folders)}',
            )
    return Finding('missing folder', folder, _nearest(Path(folder)))


def _nearest(folder: Path) -> str:
    """Describe which part of a path exists, with a suggestion."""
    if folder.parts[0] == 'zip:':
        return 'no such folder in the zip files'
    if folder.is_symlink():
        return f'is a broken link: {folder.readlink()}'
    parent = next(p for p in folder.absolute().parents if p.is_dir())
    missing = folder.absolute().relative_to(parent).parts[0]
    names = sorted(
        p.name
        for p in parent.iterdir()
        if p.is_dir() and not p.name.startswith('.')
    )
    close = get_close_matches(missing, names, n=1)
    if close:
        return f'no such folder, did you mean {parent / close[0]}?'
    held = ', '.join(names[:SHOWN]) or 'no folder'
    return f'no such folder; the nearest is {parent}, which holds {held}'


def _check_sequence(reading: DatasetInput) -> Iterator[Finding]:
    """Check that SYNTHIA's videos are not used as its random images."""
    folder = reading.folder('img_path')
    own = publisher_of(reading.dataset)
    if not folder or not own or not own.name.startswith('SYNTHIA'):
        return
    path = Path(folder)
    inside = [p.name for p in path.iterdir()] if path.is_dir() else []
    for name in (*path.parts, *inside):
        if name.startswith(('Stereo_', 'SYNTHIA-SEQS')):
            yield Finding(
                'SYNTHIA sequence',
                folder,
                f'expected {own.name}, found {name}, a video sequence',
            )
            return


IMAGE_ENDINGS = ('.png', '.jpg', '.jpeg', '.bmp', '.tif', '.tiff', '.webp')


def check_images(reading: DatasetInput) -> Iterator[Finding]:
    """Check that the folder has images and all of them are read."""
    folder = reading.folder('img_path')
    suffix = reading.dataset.img_suffix
    others = [
        name
        for name in _listed(reading, 'img_path')
        if name.lower().endswith(IMAGE_ENDINGS) and not name.endswith(suffix)
    ]
    if not reading.samples and others:
        endings = Counter(Path(name).suffix for name in others)
        yield Finding(
            'wrong suffix',
            folder,
            f'expected images *{suffix}, found {len(others)} others, such as '
            f'{others[0]} ({endings.most_common(1)[0][0]})',
        )
    elif not reading.samples:
        yield Finding('empty split', folder, f'no image *{suffix} in it')
    elif not reading.is_subset and folder != reading.folder('seg_map_path'):
        for name in others:
            yield Finding(
                'image not read',
                os.path.join(folder, name),
                f'does not end in {suffix}',
            )
    if not reading.is_subset:
        yield from _unlisted(folder, suffix)


def _unlisted(folder: str, suffix: str) -> Iterator[Finding]:
    """Find unlisted files: broken links and hidden images."""
    hidden = []
    for parent, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(parent, name)
            if not name.endswith(suffix):
                continue
            if is_hidden(os.path.relpath(path, folder)):
                hidden.append(path)
            elif os.path.islink(path) and not os.path.exists(path):
                yield Finding(
                    'broken link',
                    path,
                    f'image is a broken link: {os.readlink(path)}',
                )
    if hidden:
        problem = f'hidden, so ignored, like {len(hidden)} files in total'
        yield Finding('hidden files', min(hidden), problem)


def check_labels(reading: DatasetInput) -> Iterator[Finding]:
    """Check suffixes of labels and that each has an image."""
    folder = reading.folder('seg_map_path')
    suffix = reading.dataset.seg_map_suffix
    listed = {
        os.path.join(folder, name) for name in _listed(reading, 'seg_map_path')
    }
    wanted = {sample['seg_map_path'] for sample in reading.samples}
    if listed.isdisjoint(wanted):
        yield from _another_suffix(reading, sorted(listed))
        return
    if reading.is_subset or folder == reading.folder('img_path'):
        return
    for path in sorted(listed - wanted):
        if path.endswith(suffix) and not _is_converted(path, suffix):
            yield Finding('label without image', path, 'has no image')


def _is_converted(path: str, suffix: str) -> bool:
    """Whether a label was written by the converters next to the others."""
    return path.endswith(WRITTEN_SUFFIX) and not suffix.endswith(
        WRITTEN_SUFFIX
    )


def _another_suffix(
    reading: DatasetInput, listed: list[str]
) -> Iterator[Finding]:
    """Look for labels with another suffix."""
    suffix = reading.dataset.seg_map_suffix
    stem = reading.samples[0]['seg_map_path'].removesuffix(suffix)
    found = {p.removeprefix(stem) for p in listed if p.startswith(stem)}
    if found:
        # One that also begins other names has endings of many files.
        shown = sorted(found, key=lambda ending: (len(ending), ending))
        more = ', ...' if len(found) > SHOWN else ''
        yield Finding(
            'wrong suffix',
            reading.folder('seg_map_path'),
            f'expected labels *{suffix}, found endings '
            f'{", ".join(shown[:SHOWN])}{more}',
        )


def _listed(reading: DatasetInput, prefix: str) -> list[str]:
    """List files in a folder, relative to it."""
    return sorted(
        fileio.list_dir_or_file(
            reading.folder(prefix),
            list_dir=False,
            recursive=True,
            backend_args=reading.dataset.backend_args,
        )
    )


@dataclass(frozen=True)
class Publisher:
    """A published dataset.

    Args:
        name: Its name.
        dataset: The class that reads it.
        folders: Folders of the images and of the labels under its root.
        file_name: Pattern of the names of its images.
        counts: Images of each folder, by the end of its path.
        absent: Classes of Cityscapes that it does not have.
    """

    name: str
    dataset: type
    folders: tuple[str, str]
    file_name: re.Pattern
    counts: dict[str, int]
    absent: tuple[str, ...] = ()


ANONYMOUS = re.compile(r'.+_frame_\d{6}_rgb_anon\.png')
PUBLISHERS = (
    Publisher(
        'GTA5',
        GTADataset,
        ('images', 'labels'),
        re.compile(r'\d{5}\.png'),
        {'images': 24966},
    ),
    Publisher(
        'SYNTHIA-RAND-CITYSCAPES',
        SYNTHIADataset,
        ('RGB', 'GT'),
        re.compile(r'\d{7}\.png'),
        {'RGB': 9400},
        absent=('terrain', 'truck', 'train'),
    ),
    # Before Cityscapes, the base class of theirs.
    Publisher(
        'ACDC',
        ACDCDataset,
        ('rgb_anon/fog', 'gt/fog'),
        ANONYMOUS,
        {},
    ),
    Publisher(
        'Dark Zurich',
        DarkZurichDataset,
        ('rgb_anon/train', 'gt/val'),
        ANONYMOUS,
        {'rgb_anon/train/night': 2416, 'rgb_anon/val/night': 50},
    ),
    Publisher(
        'Cityscapes',
        CityscapesDataset,
        ('leftImg8bit', 'gtFine'),
        re.compile(r'.+_\d{6}_\d{6}_leftImg8bit\.png'),
        {'leftImg8bit/train': 2975, 'leftImg8bit/val': 500},
    ),
)


def publisher_of(dataset: object) -> Publisher | None:
    """Return the publisher of a dataset class, or None."""
    return next(
        (p for p in PUBLISHERS if isinstance(dataset, p.dataset)), None
    )
