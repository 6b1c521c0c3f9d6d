# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.dataset import pseudo_collate
from mmseg.registry import DATA_SAMPLERS, DATASETS, TRANSFORMS
from torch.utils.data import DataLoader

from mmseg_cag.errors import UserError
from tests import tiny


def load(path: Path, **kwargs) -> dict:
    step = TRANSFORMS.build(dict(type='LoadImageOnDemand', **kwargs))
    return step(dict(img_path=str(path), seg_fields=[]))


def save(path: Path) -> np.ndarray:
    image = np.random.default_rng(0).integers(0, 256, (24, 40, 3), np.uint8)
    cv2.imwrite(str(path), image)
    return cv2.imread(str(path))


@pytest.mark.parametrize('name', ['a.png', 'a.jpg'])
def test_an_image_is_as_mmseg_loads_it(tmp_path, name):
    image = save(tmp_path / name)
    results = load(tmp_path / name)
    assert np.array_equal(results['img'], image)
    assert results['img_shape'] == results['ori_shape'] == (24, 40)


@pytest.mark.parametrize('at', range(8, 1000, 97))
def test_a_changed_byte_of_a_png_is_noticed(tmp_path, at):
    save(tmp_path / 'a.png')
    content = bytearray((tmp_path / 'a.png').read_bytes())
    content[at] ^= 1
    (tmp_path / 'a.png').write_bytes(content)
    with pytest.raises(UserError, match=r'a\.png: a damaged PNG'):
        load(tmp_path / 'a.png')


def test_the_cache_holds_the_same_pixels(tmp_path):
    for name in ('a.png', 'a.jpg'):
        image = save(tmp_path / name)
        for _ in range(2):
            results = load(tmp_path / name, cache_dir=str(tmp_path / 'cache'))
            assert isinstance(results['img'], np.memmap)
            assert np.array_equal(results['img'], image)


@pytest.mark.parametrize('cache_dir', [None, 'cache'])
@pytest.mark.parametrize('content', [b'', b'no image', 'half', None])
def test_files_that_cannot_be_read(tmp_path, content, cache_dir):
    path = tmp_path / 'a.png'
    save(path)
    if content is None:
        path.unlink()
    else:
        half = path.read_bytes()[: path.stat().st_size // 2]
        path.write_bytes(half if content == 'half' else content)
    cache_dir = cache_dir and str(tmp_path / cache_dir)
    with pytest.raises(ValueError, match=str(path)) as caught:
        load(path, cache_dir=cache_dir)
    assert '\n' not in str(caught.value)


def pipeline(ids: str | None, cache_dir: str, loader: str) -> list[dict]:
    image = dict(type=loader)
    if loader == 'LoadImageOnDemand':
        image['cache_dir'] = cache_dir
    labels = dict(type='LoadLabelIds', ids=ids, cache_dir=cache_dir)
    return [
        image,
        *([labels] if ids else []),
        dict(
            type='RandomResizeCrop',
            scale=tiny.SIZE[::-1],
            ratio_range=(1.0, 1.5),
            crop_size=tiny.SIZE,
            cat_max_ratio=0.75,
        ),
        dict(type='RandomFlip', prob=0.5),
        dict(type='PackSegInputs'),
    ]


def towns(root: Path, cache_dir='off', loader='LoadImageOnDemand'):
    cfg = tiny.uda(root)
    cfg['domains']['source']['pipeline'] = pipeline('gta', cache_dir, loader)
    cfg['domains']['target']['pipeline'] = pipeline(None, cache_dir, loader)
    return DATASETS.build(cfg)


@pytest.fixture(scope='module')
def root(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp('towns')
    tiny.write_towns(folder)
    return folder


def stream(dataset, workers: int = 0, count: int = 9) -> list[torch.Tensor]:
    """Images of both domains and labels of the first samples."""
    sampler = DATA_SAMPLERS.build(
        dict(type='UDASampler', dataset=dataset, seed=3)
    )
    loader = DataLoader(
        dataset,
        1,
        sampler=sampler,
        num_workers=workers,
        collate_fn=pseudo_collate,
    )
    tensors = []
    for batch in islice(loader, count):
        inputs, samples = batch['inputs'], batch['data_samples']
        tensors += [
            inputs['source'][0],
            inputs['target'][0],
            samples['source'][0].gt_sem_seg.data,
        ]
    return tensors


def equal(first: list, second: list) -> bool:
    return all(map(torch.equal, first, second)) and len(first) == len(second)


def test_the_batches_do_not_depend_on_cache_or_workers(root, tmp_path):
    cache_dir = str(tmp_path / 'cache')
    alone = stream(towns(root))
    assert equal(stream(towns(root, loader='LoadImageFromFile')), alone)
    assert equal(stream(towns(root), workers=2), alone)
    for workers in (2, 0):  # filled by two workers, then read
        dataset = towns(root, cache_dir)
        assert equal(stream(dataset, workers), alone)
    # 7 source images with labels and 5 target images.
    assert len(list(Path(cache_dir).rglob('*.npy'))) == 7 + 7 + 5


def test_cached_labels_follow_the_choice_of_classes(root, tmp_path):
    found = []
    for classes in (('road', 'car'), ('car', 'road')):
        cfg = tiny.gta(root)
        cfg['metainfo'] = dict(classes=classes)
        cfg['pipeline'] = [
            dict(type='LoadImageFromFile'),
            dict(
                type='LoadLabelIds', ids='gta', cache_dir=str(tmp_path / 'c')
            ),
            dict(type='PackSegInputs'),
        ]
        sample = DATASETS.build(cfg)[0]['data_samples']
        found.append(sample.gt_sem_seg.data)
    chosen = found[0] != tiny.VOID
    assert chosen.any()
    assert torch.equal(found[0][chosen], 1 - found[1][chosen])
