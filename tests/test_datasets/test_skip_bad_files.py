# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import shutil

import pytest
import torch
from mmseg.registry import DATASETS

from mmseg_cag.errors import UserError
from tests import tiny


@pytest.fixture
def towns(tmp_path):
    tiny.write_towns(tmp_path)
    return tmp_path


def spoil(path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def skipping(towns) -> torch.utils.data.Dataset:
    return DATASETS.build({**tiny.uda(towns, True), 'skip_bad_files': True})


def source_path(item) -> str:
    return item['data_samples']['source'].img_path


def test_good_data_are_as_without_skipping(towns):
    plain, skips = DATASETS.build(tiny.uda(towns, True)), skipping(towns)
    for k in range(5):
        item = tiny.item((3, k), k, k)
        for domain in ('source', 'target'):
            a, b = (d[item]['inputs'][domain] for d in (plain, skips))
            assert torch.equal(a, b)
        noted = skips[item]['data_samples']['source'].metainfo
        assert 'skipped_files' not in noted


def test_another_sample_stands_in_by_the_key_alone(towns):
    spoil(towns / 'gta/images/00002.png')
    items = [skipping(towns)[tiny.item((3, k), 1, 2)] for k in range(12)]
    again = [skipping(towns)[tiny.item((3, k), 1, 2)] for k in range(12)]
    for a, b in zip(items, again, strict=True):
        assert torch.equal(a['inputs']['source'], b['inputs']['source'])
    paths = {source_path(item) for item in items}
    assert len(paths) > 2  # not always the same one
    assert not any(path.endswith('00002.png') for path in paths)
    for item in items:
        [(path, reason)] = item['data_samples']['source'].skipped_files
        assert path.endswith('gta/images/00002.png')
        assert 'truncated' in reason and '\n' not in reason


def test_a_bad_target_is_skipped_too(towns):
    folder = towns / 'cityscapes/leftImg8bit/train/bern'
    spoil(sorted(folder.iterdir())[0])
    sample = skipping(towns)[tiny.item((3, 0), 0, 0)]['data_samples']['target']
    assert [p for p, _ in sample.skipped_files] != [sample.img_path]


def test_without_skipping_the_file_is_named_in_one_line(towns):
    path = towns / 'gta/images/00002.png'
    spoil(path)
    with pytest.raises(UserError, match=str(path)) as caught:
        DATASETS.build(tiny.uda(towns))[tiny.item((3, 0), 1, 2)]
    assert '\n' not in str(caught.value)


def test_a_label_of_another_size_is_skipped(towns):
    """Its pipeline would crop both and train on the wrong pixels."""
    path = towns / 'gta/labels/00002.png'
    tiny.save_palette(path, torch.zeros(80, 90, dtype=torch.uint8).numpy())
    sample = skipping(towns)[tiny.item((3, 0), 1, 2)]['data_samples']['source']
    assert '90x80' in sample.skipped_files[0][1]


def test_all_files_bad_is_an_error(towns):
    for path in (towns / 'gta/images').iterdir():
        path.write_bytes(b'')
    with pytest.raises(UserError, match='7 bad samples in a row') as caught:
        skipping(towns)[tiny.item((3, 0), 1, 2)]
    assert 'gta/images' in str(caught.value)


def test_many_in_a_row_are_an_error(towns):
    good = towns / 'gta/labels/00001.png'
    shutil.rmtree(towns / 'gta/images')
    for index in range(300):
        path = towns / f'gta/images/{index:05d}.png'
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b'')
        if path.name != good.name:
            shutil.copy(good, good.with_name(path.name))
    with pytest.raises(UserError, match='50 bad samples in a row'):
        skipping(towns)[tiny.item((3, 0), 1, 2)]


def test_an_ordinary_data_set_skips_by_its_index(towns):
    spoil(towns / 'gta/labels/00003.png')
    dataset = DATASETS.build(
        dict(type='SkipBadFiles', dataset=tiny.gta(towns))
    )
    assert len(dataset) == 7
    assert dataset.metainfo['classes'][0] == 'road'
    first, second = dataset[2]['data_samples'], dataset[2]['data_samples']
    assert first.img_path == second.img_path
    assert not first.img_path.endswith('00003.png')
    assert first.skipped_files[0][0].endswith('gta/images/00003.png')


def test_a_repeated_part_is_replaced_by_itself(towns):
    """Labels of another part may be read in another way."""
    spoil(towns / 'gta/labels/00001.png')
    tiny.write_synthia(towns / 'synthia')
    spoil(towns / 'synthia/GT/LABELS/0000001.png')
    gta, synthia = tiny.gta(towns), tiny.synthia(towns)
    gta = dict(type='RepeatDataset', times=3, dataset=gta)
    parts = dict(type='ConcatDataset', datasets=[gta, synthia])
    dataset = DATASETS.build(dict(type='SkipBadFiles', dataset=parts))
    for index in range(len(dataset)):
        sample = dataset[index]['data_samples']
        wanted = dataset.get_data_info(index)['img_path']
        assert ('/gta/' in wanted) == ('/gta/' in sample.img_path)
        for path, reason in sample.get('skipped_files', ()):
            assert path == wanted and 'truncated' in reason


def test_evaluation_cannot_skip(towns):
    val = dict(**tiny.cityscapes(towns, 'val'), test_mode=True)
    with pytest.raises(UserError, match='must not skip'):
        DATASETS.build(dict(type='SkipBadFiles', dataset=val))
