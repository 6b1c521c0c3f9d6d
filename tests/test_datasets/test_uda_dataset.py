# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import random
from itertools import islice

import numpy as np
import pytest
import torch
from mmengine.dataset import pseudo_collate
from mmseg.registry import DATA_SAMPLERS, DATASETS
from torch.utils.data import DataLoader

from mmseg_cag.datasets.uda import seeded_transforms
from mmseg_cag.errors import UserError
from tests import tiny

ITEM = tiny.item((3, 0), 1, 2)


@pytest.fixture(scope='module')
def towns(tmp_path_factory):
    root = tmp_path_factory.mktemp('towns')
    tiny.write_towns(root)
    return root


def test_an_item_pairs_a_labelled_with_an_unlabelled_image(towns):
    dataset = DATASETS.build(tiny.uda(towns))
    item = dataset[ITEM]
    assert set(item) == {'inputs', 'data_samples'}
    for part in item.values():
        assert set(part) == {'source', 'target'}
    for image in item['inputs'].values():
        assert image.shape == (3, *tiny.SIZE)
        assert image.dtype == torch.uint8
    samples = item['data_samples']
    assert samples['source'].gt_sem_seg.data.shape == (1, *tiny.SIZE)
    assert 'gt_sem_seg' not in samples['target']
    assert samples['source'].img_path.endswith('gta/images/00002.png')
    assert 'bern_000002_000019' in samples['target'].img_path


def test_length_and_metainfo(towns):
    dataset = DATASETS.build(tiny.uda(towns))
    assert len(dataset) == len(dataset.domains['source']) == 7
    assert len(dataset.domains['target']) == 5
    assert dataset.metainfo['classes'][0] == 'road'
    assert len(dataset.metainfo['palette']) == 19


def test_mmengine_collates_lists_by_domain(towns):
    dataset = DATASETS.build(tiny.uda(towns))
    batch = pseudo_collate(
        [dataset[tiny.item((3, k), k, k)] for k in range(2)]
    )
    for domain in ('source', 'target'):
        assert len(batch['inputs'][domain]) == 2
        assert len(batch['data_samples'][domain]) == 2
        paths = {s.img_path for s in batch['data_samples'][domain]}
        assert len(paths) == 2


def stream(dataset, workers, count=6) -> list[torch.Tensor]:
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


def test_workers_do_not_change_the_data(towns):
    dataset = DATASETS.build(tiny.uda(towns, augment=True))
    alone = stream(dataset, 0)
    random.seed(11)
    np.random.seed(11)
    assert equal(stream(dataset, 0), alone)
    assert equal(stream(dataset, 2), alone)


def test_transforms_depend_on_the_whole_key(towns):
    dataset = DATASETS.build(tiny.uda(towns, augment=True))
    images = [
        dataset[tiny.item(key, 1, 2)]['inputs']['source'].float()
        for key in ((3, 0), (3, 1), (4, 0), (3, 0))
    ]
    assert torch.equal(images[0], images[3])
    assert not torch.equal(images[0], images[1])
    assert not torch.equal(images[0], images[2])


def test_both_generators_are_seeded_by_the_key():
    def draw(key):
        with seeded_transforms(key):
            return random.random(), np.random.random()

    first, second = draw((3, 0)), draw((3, 1))
    assert draw((3, 0)) == first
    assert first[0] != second[0] and first[1] != second[1]


def test_the_generators_of_the_process_are_left_alone(towns):
    dataset = DATASETS.build(tiny.uda(towns, augment=True))

    def states():
        name, keys, *rest = np.random.get_state()
        torch_state = torch.get_rng_state().tolist()
        return random.getstate(), keys.tolist(), rest, torch_state

    before = states()
    dataset[ITEM]
    assert states() == before


def test_the_generators_survive_an_error(towns):
    dataset = DATASETS.build(tiny.uda(towns, augment=True))
    before = random.getstate(), np.random.get_state()[1].tolist()
    with pytest.raises(IndexError):
        dataset[tiny.item((3, 0), 1, 10**6)]
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before


def test_a_target_with_labels_is_refused(towns):
    cfg = tiny.uda(towns)
    cfg['domains']['target'] = tiny.cityscapes(towns, 'train')
    with pytest.raises(ValueError, match='target loads labels') as caught:
        DATASETS.build(cfg)[ITEM]
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize('domain', ['source', 'target'])
def test_a_missing_domain(towns, domain):
    cfg = tiny.uda(towns)
    cfg['domains'][domain] = None
    with pytest.raises(ValueError, match=f'{domain} is missing') as caught:
        DATASETS.build(cfg)
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize('domain', ['source', 'target'])
def test_an_empty_domain(towns, tmp_path, domain):
    cfg = tiny.uda(towns)
    (tmp_path / 'void').mkdir()
    cfg['domains'][domain] = {
        **cfg['domains'][domain],
        'data_root': str(tmp_path),
        'data_prefix': dict(img_path='void'),
        'serialize_data': True,  # the default
    }
    with pytest.raises(ValueError, match=f'{domain} has no') as caught:
        DATASETS.build(cfg)
    assert f'{tmp_path}/void' in str(caught.value)
    assert '\n' not in str(caught.value)


def test_a_folder_that_is_not_there(towns, tmp_path):
    cfg = tiny.uda(towns)
    cfg['domains']['target'] = {
        **cfg['domains']['target'],
        'data_root': str(tmp_path / 'none'),
    }
    with pytest.raises((FileNotFoundError, ValueError)) as caught:
        DATASETS.build(cfg)
    assert f'{tmp_path}/none/leftImg8bit/train' in str(caught.value)
    assert '\n' not in str(caught.value)


def test_differing_classes(towns):
    cfg = tiny.uda(towns)
    cfg['domains']['source'] = {
        **cfg['domains']['source'],
        'metainfo': dict(classes=('road', 'car')),
    }
    with pytest.raises(ValueError, match='same classes') as caught:
        DATASETS.build(cfg)
    assert '\n' not in str(caught.value)


def test_the_same_choice_of_classes_in_both(towns):
    cfg = tiny.uda(towns)
    source, target = ('road', 'car'), ['road', 'car']
    cfg['domains']['source'] = {
        **cfg['domains']['source'],
        'metainfo': dict(classes=source),
    }
    cfg['domains']['target'] = {
        **cfg['domains']['target'],
        'metainfo': dict(classes=target),
    }
    assert list(DATASETS.build(cfg).metainfo['classes']) == target


def test_any_domains_and_which_of_them_are_labelled(towns):
    cfg = tiny.uda(towns)
    cfg['domains']['few'] = tiny.cityscapes(towns, 'train')
    item = ((3, 0), dict(source=1, target=2, few=0))
    with pytest.raises(UserError, match='pipeline of few loads labels'):
        DATASETS.build(cfg)[item]
    dataset = DATASETS.build({**cfg, 'labelled': ['source', 'few']})
    samples = dataset[item]['data_samples']
    assert list(samples) == ['source', 'target', 'few']
    labelled = ['gt_sem_seg' in sample for sample in samples.values()]
    assert labelled == [True, False, True]


def test_one_domain_alone(towns):
    cfg = tiny.uda(towns)
    del cfg['domains']['target']
    dataset = DATASETS.build(cfg)
    sampler = DATA_SAMPLERS.build(
        dict(type='UDASampler', dataset=dataset, seed=0)
    )
    batch = dataset[next(iter(sampler))]
    assert list(batch['inputs']) == ['source']


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(domains={}), 'domains is empty'),
        (dict(labelled=['sauce']), 'labelled names sauce'),
    ],
)
def test_settings_that_cannot_be(towns, change, message):
    with pytest.raises(UserError, match=message):
        DATASETS.build({**tiny.uda(towns), **change})
