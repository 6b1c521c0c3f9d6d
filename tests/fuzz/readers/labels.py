# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
from label_set import convert_file

from mmseg_cag.datasets.pseudo_label_metadata import METADATA, find_metadata
from mmseg_cag.datasets.transforms.load_labels_by_name import LoadLabelsByName
from mmseg_cag.datasets.transforms.load_pseudo_labels import LoadPseudoLabels
from mmseg_cag.datasets.transforms.loading import LoadLabelIds
from tests import tiny

from . import pictures
from .reader import Reader

FILE, OUT = 'label.png', 'out.png'
CLASSES = ['road', 'car']


def readers(scratch: Path) -> Iterator[Reader]:
    """The readers of label files."""
    image, labels = pictures.scene()
    ids = tiny.raw_ids(labels, tiny.CITYSCAPES)
    grey, coded = pictures.encoded(ids), pictures.palette(ids)
    red = np.dstack([ids * 0, ids, tiny.raw_ids(labels, tiny.SYNTHIA)])
    for name, seeds in {
        'cityscapes': [grey],
        'gta': [coded],
        'synthia': [pictures.wide(red)],
        'trainids': [pictures.encoded(labels)],
    }.items():
        seeds = [*seeds, grey, pictures.encoded(image)]
        read = loading(LoadLabelIds(name))
        yield Reader('labels', f'LoadLabelIds {name}', FILE, seeds, read)
    yield from converters(scratch, grey)
    named = np.where(labels == 0, 1, 2).astype(np.uint8)
    seeds = [
        pictures.encoded(named),
        pictures.palette(named),
        pictures.wide(named),
        pictures.encoded(image),
    ]
    for name, values in {
        'ids': {'road': 1, 'car': 2},
        'colours': {'road': (1, 1, 1), 'car': (2, 2, 2)},
    }.items():
        step = LoadLabelsByName(CLASSES, values)
        read = loading(step)
        yield Reader('labels', f'LoadLabelsByName {name}', FILE, seeds, read)
    yield from pseudo_labels(labels)


def converters(scratch: Path, label: bytes) -> Iterator[Reader]:
    """The two files that a converter reads: a label, and what it wrote."""
    scratch.mkdir(parents=True, exist_ok=True)
    (scratch / FILE).write_bytes(label)
    convert(scratch)
    written = (scratch / OUT).read_bytes()
    yield Reader(
        'labels', 'converters', FILE, [label], convert, {OUT: written}
    )
    yield Reader(
        'labels', 'converted', OUT, [written, label], convert, {FILE: label}
    )


def loading(step: object) -> Callable[[Path], None]:
    """Make the reader of a step that loads labels."""
    return partial(load, step)


def load(step: object, folder: Path) -> None:
    sample = {'seg_map_path': str(folder / FILE), 'seg_fields': []}
    step.transform(sample)


def convert(folder: Path) -> None:
    convert_file(LoadLabelIds('cityscapes'), folder / FILE, folder / OUT)


def pseudo_labels(labels: np.ndarray) -> Iterator[Reader]:
    """Both files of a folder of pseudo labels."""
    classes = {f'class {i}': {} for i in range(19)}
    note = {'origin': {}, 'classes': classes, 'ignore_index': 255}
    files = {
        FILE: pictures.encoded(labels),
        METADATA: json.dumps(note).encode(),
    }
    for file, kind in ((FILE, 'labels'), (METADATA, 'notes')):
        yield Reader(
            kind,
            f'LoadPseudoLabels {file}',
            file,
            [files[file]],
            load_pseudo,
            {name: files[name] for name in files if name != file},
        )


def load_pseudo(folder: Path) -> None:
    find_metadata.cache_clear()
    sample = {
        'seg_map_path': str(folder / FILE),
        'seg_fields': [],
        'img_shape': tiny.SIZE,
    }
    LoadPseudoLabels().transform(sample)
