# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from mmengine.config import Config
from mmengine.logging import MessageHub
from mmseg.registry import DATASETS, HOOKS
from torch import nn

from mmseg_cag.datasets.dataset_configs import require_images_of
from mmseg_cag.datasets.inspection.headers import check_headers
from mmseg_cag.engine.checks.check_data_hook import list_readings
from tests import tiny


@pytest.fixture
def sample(tmp_path):
    image, labels = np.zeros((4, 6, 3), np.uint8), np.zeros((4, 6), np.uint8)
    tiny.save_image(tmp_path / 'image.png', image)
    tiny.save_image(tmp_path / 'label.png', labels)
    return dict(
        img_path=str(tmp_path / 'image.png'),
        seg_map_path=str(tmp_path / 'label.png'),
    )


def check_sample(sample, labelled):
    for fault in check_headers(sample, None, labelled):
        raise fault.as_error()


def fails(sample, error, message, labelled=True):
    with pytest.raises(error, match=message) as caught:
        check_sample(sample, labelled)
    assert '\n' not in str(caught.value)
    return str(caught.value)


def test_a_good_pair_passes(sample):
    check_sample(sample, True)
    check_sample(sample, False)


@pytest.mark.parametrize('labelled', [True, False])
def test_a_missing_image(sample, labelled):
    Path(sample['img_path']).unlink()
    text = fails(sample, FileNotFoundError, 'image not found', labelled)
    assert sample['img_path'] in text


def test_a_missing_label(sample):
    Path(sample['seg_map_path']).unlink()
    text = fails(sample, FileNotFoundError, 'label of .* not found')
    assert sample['seg_map_path'] in text and sample['img_path'] in text


@pytest.mark.parametrize('key', ['img_path', 'seg_map_path'])
@pytest.mark.parametrize('content', [b'', b'no image', b'\x89PNG\r\n\x1a\n'])
def test_an_unreadable_header(sample, key, content):
    Path(sample[key]).write_bytes(content)
    text = fails(sample, ValueError, 'not a readable image')
    assert sample[key] in text


def test_sizes_that_differ(sample):
    path = Path(sample['seg_map_path'])
    tiny.save_image(path, np.zeros((6, 4), np.uint8))
    text = fails(sample, ValueError, '6x4, found 4x6')
    assert str(path) in text


def test_the_label_of_an_unlabelled_image_is_not_touched(sample):
    Path(sample['seg_map_path']).write_bytes(b'no image')
    check_sample(sample, False)


@pytest.fixture
def towns(tmp_path):
    tiny.write_towns(tmp_path)
    return tmp_path


def model(classes: int = 19) -> nn.Module:
    """What the hook asks of a segmentor."""
    whole = nn.Module()
    whole.decode_head = nn.Module()
    whole.decode_head.num_classes = classes
    whole.data_preprocessor = None
    return whole


def check(
    train: dict, val: dict | None = None, classes: int = 19, **cfg: dict
) -> None:
    def loader(cfg):
        return SimpleNamespace(dataset=DATASETS.build(cfg), batch_size=1)

    evaluator = SimpleNamespace(metrics=[])
    val_loop = val and SimpleNamespace(
        dataloader=loader(val), evaluator=evaluator
    )
    runner = SimpleNamespace(
        cfg=dict(train_dataloader=dict(dataset=train), **cfg),
        train_dataloader=loader(train),
        val_loop=val_loop,
        model=model(classes),
        message_hub=MessageHub('of no run'),
    )
    HOOKS.build(dict(type='CheckDataHook', workers=2)).before_train(runner)


def test_good_data_pass(towns):
    check(tiny.uda(towns), tiny.cityscapes(towns, 'val'))


def test_the_data_of_the_anchors_are_checked_where_they_are_read(towns):
    shutil.copytree(towns / 'gta', towns / 'other/gta')
    label = next((towns / 'other/gta/labels').iterdir())
    label.unlink()
    anchors = dict(dataset=tiny.gta(towns / 'other'))
    check(tiny.uda(towns), anchor_dataloader=anchors)
    hooks = dict(anchors=dict(type='AnchorHook'))
    both = dict(anchor_dataloader=anchors, default_hooks=hooks)
    with pytest.raises(FileNotFoundError, match=str(label)):
        check(tiny.uda(towns), **both)
    # They skip bad files where training does.
    train = dict(tiny.uda(towns), skip_bad_files=True)
    check(train, **both)


def test_files_that_are_read_twice_are_checked_once(towns):
    datasets = [DATASETS.build(tiny.gta(towns)) for _ in range(2)]
    keys = ('train_dataloader', 'anchor_dataloader')
    [reading] = list_readings(dict(zip(keys, datasets, strict=True)))
    assert reading.key == 'train_dataloader.dataset'


def test_target_labels_are_never_looked_for(towns):
    shutil.rmtree(towns / 'cityscapes/gtFine/train')
    labelled = tiny.cityscapes(towns, 'train')
    cfg = tiny.uda(towns)
    cfg['domains']['target'] = labelled
    check(cfg)
    with pytest.raises(FileNotFoundError, match='gtFine/train: no such'):
        check(labelled)  # as a data set of ordinary training


def test_a_broken_file_in_each_place(towns):
    places = [
        'gta/images/00003.png',
        'gta/labels/00007.png',
        'cityscapes/leftImg8bit/train/bern/bern_000002_000019_leftImg8bit.png',
        'cityscapes/leftImg8bit/val/bern/bern_000001_000019_leftImg8bit.png',
        'cityscapes/gtFine/val/bern/bern_000000_000019_gtFine_labelIds.png',
    ]
    for place in places:
        path = towns / place
        good = path.read_bytes()
        path.write_bytes(good[:20])
        with pytest.raises(ValueError, match=place):
            check(tiny.uda(towns), tiny.cityscapes(towns, 'val'))
        path.write_bytes(good)


def test_what_a_test_reads_is_checked(towns):
    next((towns / 'cityscapes/gtFine/val').rglob('*.png')).unlink()
    dataset = DATASETS.build(tiny.cityscapes(towns, 'val'))
    loop = SimpleNamespace(dataloader=SimpleNamespace(dataset=dataset))
    hook = HOOKS.build(dict(type='CheckDataHook'))
    with pytest.raises(FileNotFoundError, match='label of'):
        hook.before_test(
            SimpleNamespace(
                test_loop=loop,
                model=model(),
                message_hub=MessageHub('of no run'),
            )
        )


def test_a_data_set_without_images(tmp_path):
    (tmp_path / 'gta/images').mkdir(parents=True)
    cfg = Config(dict(val_dataloader=dict(dataset=tiny.gta(tmp_path))))
    with pytest.raises(
        ValueError, match='val_dataloader.dataset has no image in .*gta/images'
    ):
        require_images_of(cfg, 'train_dataloader', 'val_dataloader')


def test_a_labelled_data_set_without_a_folder_of_labels(towns):
    cfg = tiny.cityscapes(towns, 'train')
    del cfg['data_prefix']['seg_map_path']
    with pytest.raises((ValueError, FileNotFoundError), match='label'):
        check(cfg)


@pytest.mark.parametrize('classes', [5, 25])
def test_a_class_count_that_does_not_fit(towns, classes):
    with pytest.raises(ValueError, match=f'num_classes={classes}, .* 19'):
        check(tiny.uda(towns), classes=classes)
