# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Pseudo labels are read for the target, and true labels still are not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmseg.registry import DATASETS, MODELS, TRANSFORMS
from PIL import Image

from mmseg_cag.datasets.pseudo_label_metadata import METADATA
from mmseg_cag.engine.checks.check_data_hook import check_made_files
from mmseg_cag.fileio.json_file import write_json
from tests import tiny

ROOT = Path(__file__).parents[2]
STEPS = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadPseudoLabels'),
    dict(type='PackPseudoSegInputs'),
]


@pytest.fixture
def towns(tmp_path: Path) -> Path:
    """Two towns; a network has labelled the target."""
    tiny.write_towns(tmp_path)
    images = tmp_path / 'cityscapes' / 'leftImg8bit' / 'train'
    folder = tmp_path / 'cityscapes' / 'pseudo'
    rng = np.random.default_rng(7)
    for path in images.rglob('*.png'):
        labels = rng.choice([*tiny.USED, 255], tiny.SIZE).astype(np.uint8)
        tiny.save_image(folder / path.relative_to(images), labels)
    classes = DATASETS.get('CityscapesDataset').METAINFO['classes']
    labelled = dict.fromkeys(classes, {})
    note = {'origin': {}, 'classes': labelled, 'ignore_index': 255}
    write_json(folder / METADATA, note)
    return tmp_path


def target(root: Path, steps: list = STEPS) -> dict:
    return dict(
        tiny.cityscapes(root, 'train', labelled=False),
        data_prefix=dict(img_path='leftImg8bit/train', seg_map_path='pseudo'),
        seg_map_suffix='_leftImg8bit.png',
        pipeline=steps,
    )


def pair(root: Path, steps: list = STEPS) -> dict:
    cfg = tiny.uda(root)
    cfg['domains']['target'] = target(root, steps)
    return cfg


def read(path: str) -> np.ndarray:
    return np.array(Image.open(path))


def test_the_target_has_pseudo_labels_and_no_true_ones(towns):
    item = DATASETS.build(pair(towns))[tiny.item((3, 0), 1, 2)]
    sample = item['data_samples']['target']
    assert 'gt_sem_seg' not in sample
    labels = sample.pseudo_sem_seg.data
    assert labels.shape == (1, *tiny.SIZE) and labels.dtype == torch.int64
    name = 'bern/bern_000002_000019_leftImg8bit.png'
    assert sample.img_path.endswith(f'train/{name}')
    assert sample.seg_map_path.endswith(f'pseudo/{name}')
    assert np.array_equal(labels[0].numpy(), read(sample.seg_map_path))
    assert 'pseudo_sem_seg' not in item['data_samples']['source']


WINDOW = dict(
    type='RandomResizeCrop',
    scale=tiny.SIZE[::-1],
    ratio_range=(1.0, 1.0),  # labels are not interpolated as images are
    crop_size=(16, 24),
)


@pytest.mark.parametrize(
    'steps',
    [
        [*STEPS[:2], *tiny.AUGMENTATION[:-1]],
        [dict(type='LoadImageOnDemand'), STEPS[1], WINDOW],
    ],
)
def test_they_move_with_the_image(towns, steps):
    dataset = DATASETS.build(target(towns, [*steps, STEPS[2]]))
    # The label is the image, so whatever moves one has to move the other.
    for index in range(len(dataset)):
        path = dataset.get_data_info(index)
        grey = read(path['seg_map_path'])
        tiny.save_image(Path(path['img_path']), np.dstack([grey] * 3))
    for step in dataset.pipeline.transforms:
        if hasattr(step, 'resize'):
            step.resize.interpolation = 'nearest'
    for index in range(len(dataset)):
        item = dataset[index]
        labels = item['data_samples'].pseudo_sem_seg.data
        assert torch.equal(labels[0], item['inputs'][0].long())


def test_they_are_padded_as_the_image(towns):
    dataset = DATASETS.build(pair(towns))
    batch = pseudo_collate(
        [dataset[tiny.item((3, k), k, k)] for k in range(2)]
    )
    settings = tiny.preprocessor() | dict(size=(40, 70))
    preprocess = MODELS.build(
        dict(type='UDADataPreprocessor', default=settings)
    )
    plain = [s.pseudo_sem_seg.data for s in batch['data_samples']['target']]
    samples = preprocess(batch, training=True)['data_samples']['target']
    for before, sample in zip(plain, samples, strict=True):
        padded = sample.pseudo_sem_seg.data
        assert padded.shape == (1, 40, 70)
        assert torch.equal(padded[:, :32, :64], before)
        assert (padded[:, 32:] == 255).all() and (
            padded[..., 64:] == 255
        ).all()


@pytest.mark.parametrize(
    'steps',
    [
        [dict(type='LoadLabelIds', ids='trainids'), *STEPS[1:]],
        [*STEPS[1:2], dict(type='LoadAnnotations'), STEPS[2]],
    ],
)
def test_a_true_label_beside_them_is_refused(towns, steps):
    dataset = DATASETS.build(pair(towns, [STEPS[0], *steps]))
    with pytest.raises(ValueError, match='target loads labels') as caught:
        dataset[tiny.item((3, 0), 1, 2)]
    assert '\n' not in str(caught.value)


def complaint(dataset, index: int = 0) -> str:
    with pytest.raises(ValueError) as caught:
        dataset[index]
    assert '\n' not in str(caught.value)
    return str(caught.value)


def test_true_labels_are_no_pseudo_labels(towns):
    truth = tiny.cityscapes(towns, 'train') | dict(pipeline=STEPS)
    line = complaint(DATASETS.build(truth))
    assert 'these are not pseudo labels' in line and 'gtFine/train' in line


def test_labels_that_do_not_fit(towns):
    dataset = DATASETS.build(target(towns))
    path = Path(dataset.get_data_info(0)['seg_map_path'])
    tiny.save_image(path, np.full((16, 32), 3, np.uint8))
    line = complaint(dataset)
    assert f'{path}: is 32x16, the image 64x32; put the Resize' in line
    tiny.save_image(path, np.full(tiny.SIZE, 19, np.uint8))
    assert 'has the id 19, but there are 19 classes' in complaint(dataset)
    path.write_bytes(b'no image')
    assert f'{path}: not a readable image' in complaint(dataset)


def test_a_pipeline_without_them(towns):
    dataset = DATASETS.build(target(towns, [STEPS[0], STEPS[2]]))
    assert 'no LoadPseudoLabels before it' in complaint(dataset)
    plain = target(towns)
    plain['data_prefix'] = dict(img_path='leftImg8bit/train')
    line = complaint(DATASETS.build(plain))
    assert 'data_prefix.seg_map_path is not set' in line


def test_a_transform_that_leaves_them_behind():
    pack = TRANSFORMS.build(STEPS[2])
    results = {
        'img': np.zeros((4, 6, 3), np.uint8),
        'pseudo_seg_map': np.zeros((8, 6), np.uint8),
    }
    with pytest.raises(ValueError, match=r'\(4, 6\) has .* \(8, 6\)'):
        pack(results)


def test_they_are_checked_before_training(towns):
    dataset = DATASETS.build(target(towns))
    check_made_files(dataset)
    check_made_files(DATASETS.build(tiny.gta(towns)))
    chosen = target(towns) | dict(metainfo=dict(classes=('road', 'car')))
    with pytest.raises(ValueError, match="expected those .* 'car'"):
        check_made_files(DATASETS.build(chosen))
    path = Path(dataset.get_data_info(2)['seg_map_path'])
    path.unlink()
    with pytest.raises(FileNotFoundError, match='label not found') as caught:
        check_made_files(dataset)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    'name', ['minitown/bdl_ssl', 'bdl/deeplabv2_ssl_gta2cs']
)
def test_the_data_set_of_the_configs(towns, name):
    run = Config.fromfile(ROOT / f'configs/{name}.py')
    cfg = run.train_dataloader.dataset.domains['target']
    cfg.data_root = str(towns / 'cityscapes')
    cfg.data_prefix.seg_map_path = 'pseudo'
    for step in cfg.pipeline:
        if step.type == 'Resize':
            step.scale = tiny.SIZE[::-1]
        if step.type == 'RandomCrop':
            step.crop_size = (16, 32)
    item = DATASETS.build(cfg)[0]
    size = item['inputs'].shape[1:]
    assert item['data_samples'].pseudo_sem_seg.data.shape[1:] == size
