# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from zipfile import ZIP_BZIP2, ZIP_DEFLATED, ZIP_LZMA, ZIP_STORED, ZipFile

from mmseg_cag.datasets.inspection.headers import check_headers
from mmseg_cag.datasets.transforms.loading import LoadLabelIds
from mmseg_cag.fileio.zip_backend import ZipBackend
from tests import tiny

from . import pictures
from .reader import Reader

FILE = 'data.zip'


def readers(scratch: Path) -> Iterator[Reader]:
    """The reader of zip files."""
    image, labels = pictures.scene()
    ids = tiny.raw_ids(labels, tiny.CITYSCAPES)
    members = {
        'images/a.png': pictures.encoded(image),
        'labels/a.png': pictures.palette(ids),
    }
    seeds = [
        zipped(members, method)
        for method in (ZIP_STORED, ZIP_DEFLATED, ZIP_BZIP2, ZIP_LZMA)
    ]
    seeds += [
        zipped({**members, name: b'outside'}, ZIP_STORED)
        for name in ('../outside.png', '/tmp/outside.png', 'c:\\a\\..\\b.png')
    ]
    yield Reader('zip files', 'members', FILE, seeds, read_members)
    yield Reader('zip files', 'data set', FILE, seeds, read_sample)


def zipped(members: dict[str, bytes], method: int) -> bytes:
    """Write a zip file."""
    stream = BytesIO()
    with ZipFile(stream, 'w', method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return stream.getvalue()


def read_members(folder: Path) -> None:
    backend = ZipBackend()
    root = f'zip://{folder}'
    names = backend.list_dir_or_file(root, list_dir=False, recursive=True)
    for name in names:
        backend.get(f'{root}/{name}')


def read_sample(folder: Path) -> None:
    root = f'zip://{folder}'
    sample = {
        'img_path': f'{root}/images/a.png',
        'seg_map_path': f'{root}/labels/a.png',
        'seg_fields': [],
    }
    step = LoadLabelIds('gta')
    list(check_headers(sample, step, labelled=True))
    step.transform(sample)
