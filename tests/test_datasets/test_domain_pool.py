# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from collections import Counter
from fractions import Fraction
from itertools import islice

import pytest
from mmengine.config import ConfigDict
from mmseg.registry import DATA_SAMPLERS, DATASETS

from mmseg_cag.data_check.collect import collect
from mmseg_cag.data_check.examine import examine
from mmseg_cag.datasets import domain_pool
from mmseg_cag.datasets import uda as uda_sampler
from mmseg_cag.datasets.domain_pool import share_pattern
from mmseg_cag.datasets.inspection.finding import Level
from mmseg_cag.datasets.wanted import Wanted
from mmseg_cag.engine.checks.check_data_hook import (
    list_readings,
    stop_at_faults,
)
from mmseg_cag.errors import UserError
from tests import tiny

SHARES = dict(gta=0.5, synthia=0.25, few=0.25)
TERRAIN, TRUCK, TRAIN = 9, 14, 16


@pytest.fixture(scope='module')
def towns(tmp_path_factory):
    root = tmp_path_factory.mktemp('towns')
    tiny.write_towns(root)
    tiny.write_synthia(root / 'synthia', count=3)
    return root


def members(towns, augment=False) -> dict:
    return dict(
        gta=tiny.gta(towns, augment),
        synthia=tiny.synthia(towns),
        few=tiny.cityscapes(towns, 'val'),
    )


def pool(towns, **kwargs) -> dict:
    return dict(type='DomainPool', members=members(towns), **kwargs)


def uda(towns, **kwargs) -> dict:
    cfg = tiny.uda(towns)
    cfg['domains']['source'] = pool(towns, **kwargs)
    return cfg


def draws(towns, monkeypatch, count, rank=0, world=1, skip=0, **kwargs):
    """Domain and index of each sample of the source that a rank draws."""
    for module in (domain_pool, uda_sampler):
        monkeypatch.setattr(module, 'get_dist_info', lambda: (rank, world))
    dataset = DATASETS.build(uda(towns, shares=SHARES))
    sampler = DATA_SAMPLERS.build(
        dict(type='UDASampler', dataset=dataset, seed=3, **kwargs)
    )
    sampler.skip(skip)
    sources = dataset.domains['source']
    found = []
    for _, entries in islice(sampler, count):
        index = entries['source']
        index = index.index if isinstance(index, Wanted) else index
        found.append((sources.get_data_info(index)['domain'], index))
    return found


def test_a_pool_is_its_members_one_after_another(towns):
    dataset = DATASETS.build(pool(towns))
    assert len(dataset) == 7 + 3 + 2
    names = [dataset.get_data_info(i)['domain'] for i in range(12)]
    assert names == ['gta'] * 7 + ['synthia'] * 3 + ['few'] * 2
    sample = dataset[8]['data_samples']
    assert sample.domain == 'synthia'
    assert sample.img_path.endswith('RGB/0000001.png')


def test_what_a_domain_does_not_label_and_another_does(towns):
    names = ['terrain', 'truck', 'train']
    dataset = DATASETS.build(pool(towns, absent=dict(synthia=names)))
    assert 'absent' not in dataset[0]['data_samples']
    assert dataset[8]['data_samples'].absent == (TERRAIN, TRUCK, TRAIN)
    # Where no domain labels it, there is nothing to protect.
    alone = dict(type='DomainPool', members=dict(one=tiny.synthia(towns)))
    dataset = DATASETS.build({**alone, 'absent': dict(one=names)})
    assert 'absent' not in dataset[0]['data_samples']
    # Nor is there anything to compare a prediction with.
    alone = dict(one={**tiny.synthia(towns), 'test_mode': True})
    alone = dict(type='DomainPool', members=alone, absent=dict(one=names))
    sample = DATASETS.build(alone)[0]['data_samples']
    assert sample.absent == (TERRAIN, TRUCK, TRAIN)
    with pytest.raises(UserError, match="absent.gta names 'tram', expected"):
        DATASETS.build(pool(towns, absent=dict(gta=['tram'])))
    with pytest.raises(UserError, match='absent names the member gtb, expec'):
        DATASETS.build(pool(towns, absent=dict(gtb=['train'])))


def test_a_class_that_a_pipeline_has_no_id_for(towns):
    classes = list(DATASETS.get('GTADataset').METAINFO['classes'])
    own = dict(
        tiny.gta(towns),
        type='BaseSegDataset',
        img_suffix='.png',
        seg_map_suffix='.png',
        metainfo=dict(classes=classes),
    )
    ids = dict(road=7, building=11, sky=23, car=26)
    reader = dict(
        type='LoadLabelsByName',
        classes=classes,
        ids=ids,
        void_ids=[0],
        absent=[name for name in classes if name not in ids],
    )
    own['pipeline'] = [own['pipeline'][0], reader, own['pipeline'][-1]]
    dataset = DATASETS.build(
        dict(type='DomainPool', members=dict(own=own, gta=tiny.gta(towns)))
    )
    absent = dataset[0]['data_samples'].absent
    assert [classes[i] for i in absent] == reader['absent']


@pytest.mark.parametrize('world', [1, 2, 3])
def test_each_batch_of_each_rank_has_the_exact_shares(
    towns, monkeypatch, world
):
    seen = Counter()
    for rank in range(world):
        found = draws(towns, monkeypatch, 24, rank, world)
        for start in range(0, 24, 4):
            batch = Counter(name for name, _ in found[start : start + 4])
            assert batch == dict(gta=2, synthia=1, few=1)
        seen.update(found)
    # Each image of a domain before any twice, over the ranks together.
    for name in SHARES:
        counts = [n for (own, _), n in seen.items() if own == name]
        assert max(counts) - min(counts) <= 1


@pytest.mark.parametrize('skip', [0, 1, 5, 13])
def test_skipping_is_dropping(towns, monkeypatch, skip):
    whole = draws(towns, monkeypatch, 30, rank=1, world=2)
    rest = draws(towns, monkeypatch, 30 - skip, rank=1, world=2, skip=skip)
    assert rest == whole[skip:]


def test_members_have_orders_of_their_own(towns, monkeypatch, tmp_path):
    index = str(tmp_path / 'index.json')
    rare = dict(
        type='RareClassOrder', classes=['sky'], min_share=0.0, index=index
    )
    orders = dict(source=dict(type='PoolOrder', orders=dict(gta=rare)))
    plain = draws(towns, monkeypatch, 16)
    found = draws(towns, monkeypatch, 16, orders=orders)
    assert [n for n, _ in found] == [n for n, _ in plain]
    others = [[d for d in own if d[0] != 'gta'] for own in (plain, found)]
    assert others[0] == others[1]
    wrong = dict(source=dict(type='PoolOrder', orders=dict(gtb=rare)))
    with pytest.raises(UserError, match='orders names gtb, expected one of'):
        draws(towns, monkeypatch, 1, orders=wrong)


def test_the_pattern_has_the_exact_shares_and_spreads_them():
    for shares in (
        [Fraction(1)],
        [Fraction(1, 3)] * 3,
        [Fraction(n, 20) for n in (13, 6, 1)],
    ):
        pattern = share_pattern(shares)
        for member, share in enumerate(shares):
            assert pattern.count(member) == share * len(pattern)
            for place in range(len(pattern) + 1):
                count = pattern[:place].count(member)
                assert abs(count - share * place) < 1


def test_without_shares_each_image_counts_the_same(towns):
    dataset = DATASETS.build(uda(towns))
    sampler = DATA_SAMPLERS.build(
        dict(type='UDASampler', dataset=dataset, seed=3)
    )
    drawn = [entries['source'] for _, entries in islice(sampler, 12)]
    assert sorted(drawn) == [*range(12)]


def test_a_domain_that_is_left_out(towns):
    cfg = pool(towns, shares=SHARES)
    cfg['members']['gta'] = None
    dataset = DATASETS.build(cfg)
    assert dataset.names == ['synthia', 'few']
    assert [*dataset.shares.values()] == [Fraction(1, 2)] * 2
    rare = dict(gta=dict(type='RareClassOrder'))
    order = DATA_SAMPLERS.build(
        dict(type='PoolOrder', dataset=dataset, seed=0, orders=rare)
    )
    assert {order[position] for position in range(20)} == {*range(5)}


def test_a_bad_file_is_replaced_from_its_domain(towns):
    file = towns / 'synthia' / 'RGB' / '0000001.png'
    content = file.read_bytes()
    file.write_bytes(content[:100])
    try:
        dataset = DATASETS.build({**uda(towns), 'skip_bad_files': True})
        item = dataset[((3, 0), dict(source=8, target=0))]
    finally:
        file.write_bytes(content)
    sample = item['data_samples']['source']
    assert sample.domain == 'synthia'
    assert len(sample.skipped_files) == 1


def test_it_stays_in_its_domain_around_a_pool_too(towns, tmp_path):
    """As for anchors and statistics, and each is read in its own way."""
    root = tmp_path / 'zips'
    tiny.zip_parts(towns / 'gta', root, {'all.zip': '*/*.png'})
    in_zip = dict(backend_args=dict(backend='zip'))
    zipped = {**tiny.gta(towns), **in_zip, 'data_root': str(root)}
    image, label, pack = zipped['pipeline']
    zipped['pipeline'] = [{**image, **in_zip}, {**label, **in_zip}, pack]
    cfg = dict(
        type='DomainPool',
        members=dict(gta=zipped, synthia=tiny.synthia(towns)),
    )
    file = towns / 'synthia' / 'RGB' / '0000001.png'
    content = file.read_bytes()
    file.write_bytes(content[:100])
    try:
        dataset = DATASETS.build(dict(type='SkipBadFiles', dataset=cfg))
        whole = [dataset[i]['data_samples'] for i in range(10)]
    finally:
        file.write_bytes(content)
    assert [s.domain for s in whole] == ['gta'] * 7 + ['synthia'] * 3
    assert [len(s.get('skipped_files', ())) for s in whole] == [
        int(i == 8) for i in range(10)
    ]


def test_an_order_must_heed_the_shares(towns, monkeypatch):
    rare = dict(source=dict(type='RareClassOrder'))
    line = 'orders.source.type=RareClassOrder: ignores the shares of the Dom'
    with pytest.raises(UserError, match=line):
        draws(towns, monkeypatch, 1, orders=rare)
    DATASETS.build(uda(towns))  # without shares there is nothing to heed
    with pytest.raises(UserError, match='CityscapesDataset is no DomainPool'):
        draws(
            towns, monkeypatch, 1, orders=dict(target=dict(type='PoolOrder'))
        )


def test_a_pool_in_a_pool_has_shares_of_its_own(towns):
    cfg = pool(towns, shares=SHARES)
    inner = dict(gta=cfg['members'].pop('gta'))
    inner['synthia'] = cfg['members'].pop('synthia')
    cfg['members']['towns'] = dict(
        type='DomainPool', members=inner, shares=dict(gta=0.25, synthia=0.75)
    )
    cfg['shares'] = dict(few=0.5, towns=0.5)
    dataset = DATASETS.build(cfg)
    order = DATA_SAMPLERS.build(
        dict(type='PoolOrder', dataset=dataset, seed=0)
    )
    drawn = Counter(
        'few' if order[k] < 2 else 'gta' if order[k] < 9 else 'synthia'
        for k in range(80)
    )
    assert drawn == dict(few=40, gta=10, synthia=30)
    rare = dict(towns=dict(type='RareClassOrder'))
    with pytest.raises(UserError, match='PoolOrder: orders.towns.type=Rare'):
        DATA_SAMPLERS.build(
            dict(type='PoolOrder', dataset=dataset, seed=0, orders=rare)
        )


def test_the_doctor_knows_each_domain(towns):
    cfg = ConfigDict(train_dataloader=dict(dataset=uda(towns)))
    readings, findings = collect(cfg)
    assert not findings
    place = 'train_dataloader.dataset.domains'
    assert [(r.key, r.role) for r in readings] == [
        (f'{place}.source.members.gta', 'source'),
        (f'{place}.source.members.synthia', 'source'),
        (f'{place}.source.members.few', 'source'),
        (f'{place}.target', 'target'),
    ]


def test_the_data_check_compares_stated_classes_with_the_labels(towns):
    stated = dict(gta=['sky', 'train'], synthia=['truck', 'bus'])
    cfg = uda(towns, absent=stated)
    report = examine(ConfigDict(train_dataloader=dict(dataset=cfg)), None, 1)
    found = {
        (part.reading.key.split('.')[-1], finding.name): finding
        for part in report.parts
        for finding in part.findings
    }
    wrong = found['gta', 'absent class labelled']
    assert wrong.kind.level is Level.WARNING
    assert wrong.problem == (
        '7 of 7 labels have sky, which the DomainPool states to be absent'
    )
    for member, names in (('gta', ['train']), ('synthia', ['bus', 'truck'])):
        known = found[member, 'class known to be absent'].problem
        assert all(name in known for name in names)
    assert 'bus' in found['gta', 'class never seen'].problem
    assert ('synthia', 'absent class labelled') not in found
    # As a run is checked before it starts: these pixels stop nothing.
    dataset = DATASETS.build(cfg)
    stop_at_faults(list_readings({'train_dataloader': dataset}), 2)


@pytest.mark.parametrize(
    ('shares', 'message'),
    [
        (dict(SHARES, few=0.5), 'shares sum to 1.25, expected a sum of 1'),
        (dict(gta=0.5, few=0.5), 'shares of gta, few, expected one of each'),
        (dict(SHARES, gta=0.75, few=0), 'shares.few=0, expected a number ab'),
        (
            dict(gta=0.71839, synthia=0.18164, few=0.09997),
            'at most three digits',
        ),
    ],
)
def test_shares_that_cannot_be(towns, shares, message):
    with pytest.raises(UserError, match=message):
        DATASETS.build(pool(towns, shares=shares))


def test_members_that_cannot_be(towns):
    cfg = pool(towns)
    cfg['members']['few'] = {
        **cfg['members']['few'],
        'metainfo': dict(classes=('road', 'car')),
    }
    with pytest.raises(UserError, match='gta and few must have the same'):
        DATASETS.build(cfg)
    with pytest.raises(UserError, match='members is empty'):
        DATASETS.build(dict(type='DomainPool', members=dict(gta=None)))
