# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""A source whose images were translated and whose labels are the original."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from mmseg.registry import DATASETS
from PIL import Image

from mmseg_cag.datasets.inspection.dataset_inputs import dataset_inputs
from mmseg_cag.engine.checks.check_data_hook import (
    check_made_files,
    stop_at_faults,
)
from tests import tiny

RESIZE = dict(type='Resize', scale=tiny.SIZE[::-1], keep_ratio=False)


@pytest.fixture
def towns(tmp_path: Path) -> Path:
    tiny.write_gta(tmp_path / 'gta')
    for path in sorted((tmp_path / 'gta/images').iterdir()):
        image = 255 - np.array(Image.open(path))
        tiny.save_image(tmp_path / 'translated' / path.name, image)
    return tmp_path


def source(root: Path, *steps: dict, **changes) -> dict:
    cfg = tiny.gta(root)
    cfg['data_prefix']['img_path'] = str(root / 'translated')
    cfg['pipeline'] = [
        dict(type='LoadTranslatedImage'),
        dict(type='LoadLabelIds', ids='gta'),
        *steps,
        dict(type='PackSegInputs'),
    ]
    return cfg | changes


def check(cfg: dict) -> None:
    """Check as a run does before it starts."""
    dataset = DATASETS.build(cfg)
    stop_at_faults(dataset_inputs(dataset, 'source', 'source'), 2)
    check_made_files(dataset)


def complaint(cfg: dict) -> str:
    with pytest.raises(ValueError) as caught:
        check(cfg)
    assert '\n' not in str(caught.value)
    return str(caught.value)


def test_images_are_the_translated_ones_and_labels_the_original(towns):
    check(source(towns))
    translated = DATASETS.build(source(towns))[2]
    original = DATASETS.build(tiny.gta(towns))[2]
    assert (translated['inputs'] == 255 - original['inputs']).all()
    one, two = (
        item['data_samples'].gt_sem_seg.data for item in (translated, original)
    )
    assert (one == two).all()


def test_missing_images_are_counted(towns):
    for name in ('00002.png', '00005.png'):
        (towns / 'translated' / name).unlink()
    assert complaint(source(towns)) == (
        f'{towns}/translated/00002.png: translated image not found; of 7 '
        f'labels in {towns}/gta/labels, 2 have none'
    )


def test_the_note_of_a_folder_is_minded(towns):
    note = towns / 'translated/translated_images.json'
    note.write_text('{"images": 7}')
    check(source(towns))
    note.write_text('{"images": 9}')
    assert complaint(source(towns)) == f'{note}: lists 9 images, found 7'
    note.write_text('{}')
    assert 'lists unfinished images' in complaint(source(towns))
    note.write_text('{')
    assert f'{note}: not readable as JSON' in complaint(source(towns))


def test_a_subset_is_one(towns):
    (towns / 'translated/00002.png').unlink()
    listed = towns / 'train.txt'
    listed.write_text('00001\n00003\n')
    check(source(towns, ann_file=str(listed)))


def test_labels_that_were_converted_need_no_image(towns):
    label = towns / 'gta/labels/00001.png'
    label.with_name('00001_labelTrainIds.png').write_bytes(label.read_bytes())
    check(source(towns))


def test_an_image_of_another_name(towns):
    image = towns / 'translated/00003.png'
    image.rename(image.with_name('three.png'))
    line = complaint(source(towns))
    assert line.startswith(f'{towns}/gta/labels/three.png: label of ')


def test_sizes(towns):
    path = towns / 'translated/00004.png'
    height, width = tiny.SIZE

    def put(width: int, height: int) -> None:
        tiny.save_image(path, np.zeros((height, width, 3), np.uint8))

    # A scaled copy of the frame, which a resize brings to its label's size.
    put(width // 2, height // 2)
    check(source(towns, RESIZE))
    skipping = dict(type='SkipBadFiles', dataset=source(towns, RESIZE))
    sample = DATASETS.build(skipping)[3]['data_samples']
    assert sample.img_path == str(path)
    label = towns / 'gta/labels/00004.png'
    assert complaint(source(towns)) == (
        f'{label}: expected the size of its image, 32x16, found 64x32'
    )
    # Another part of it, or another frame.
    put(width // 2, height)
    assert complaint(source(towns, RESIZE)) == (
        f'{path}: expected the shape of its label, 64x32, found 32x32'
    )
