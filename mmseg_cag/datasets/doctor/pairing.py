# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from mmengine import fileio

from ..conversion.label_set import WRITTEN_SUFFIX
from .finding import Finding
from .reading import Reading

IMAGE_ENDINGS = ('.png', '.jpg', '.jpeg', '.bmp', '.tif', '.tiff', '.webp')


def check_images(reading: Reading) -> Iterator[Finding]:
    """Check that the folder has images and that all of them are read."""
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
    elif folder != reading.folder('seg_map_path'):
        for name in others:
            yield Finding(
                'image not read',
                os.path.join(folder, name),
                f'does not end in {suffix}',
            )
    yield from _broken_links(folder, suffix)


def _broken_links(folder: str, suffix: str) -> Iterator[Finding]:
    # A link to nowhere is not listed as a file: nothing else would miss it.
    for parent, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(parent, name)
            if (
                name.endswith(suffix)
                and os.path.islink(path)
                and not os.path.exists(path)
            ):
                yield Finding(
                    'broken link',
                    path,
                    f'image is a link to nowhere: {os.readlink(path)}',
                )


def check_labels(reading: Reading) -> Iterator[Finding]:
    """Check the endings of labels and that none is without image."""
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
    """Whether the converters wrote a label beside those that are read."""
    return path.endswith(WRITTEN_SUFFIX) and not suffix.endswith(
        WRITTEN_SUFFIX
    )


def _another_suffix(reading: Reading, listed: list[str]) -> Iterator[Finding]:
    """Look for labels that are there under another ending."""
    suffix = reading.dataset.seg_map_suffix
    stem = reading.samples[0]['seg_map_path'].removesuffix(suffix)
    found = [p.removeprefix(stem) for p in listed if p.startswith(stem)]
    if found:
        yield Finding(
            'wrong suffix',
            reading.folder('seg_map_path'),
            f'expected labels *{suffix}, found endings {", ".join(found)}',
        )


def _listed(reading: Reading, prefix: str) -> list[str]:
    """Files below a folder, relative to it."""
    return sorted(
        fileio.list_dir_or_file(
            reading.folder(prefix),
            list_dir=False,
            recursive=True,
            backend_args=reading.dataset.backend_args,
        )
    )
