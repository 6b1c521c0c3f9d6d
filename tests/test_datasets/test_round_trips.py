# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Raw, converted and zipped data sets give the same training tensors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from label_set import convert_labels
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmseg.registry import DATASETS
from torch.utils.data import DataLoader

from mmseg_cag.datasets.dataset_configs import require_images
from mmseg_cag.datasets.inspection.dataset_inputs import dataset_inputs
from mmseg_cag.datasets.uda import seeded_transforms
from mmseg_cag.engine.checks.check_data_hook import stop_at_faults
from mmseg_cag.minitown.town import draw_minitown
from tests import tiny

ROOT = Path(__file__).parents[2]
# Folder of labels, end of their names, and the parts as they are published.
SETS = {
    'gta': (
        'labels',
        '.png',
        {
            '01_images.zip': 'images/0000[12].png',
            '02_images.zip': 'images/0000[3-9].png',
            '01_labels.zip': 'labels/0000[12].png',
            '02_labels.zip': 'labels/0000[3-9].png',
        },
    ),
    'synthia': (
        'GT/LABELS',
        '.png',
        {'SYNTHIA_RAND_CITYSCAPES.zip': '**/*.png'},
    ),
    'cityscapes': (
        'gtFine',
        '_labelIds.png',
        {
            'leftImg8bit_trainvaltest.zip': 'leftImg8bit/**/*.png',
            'gtFine_trainvaltest.zip': 'gtFine/**/*.png',
        },
    ),
}


def check(cfg: dict) -> None:
    dataset = DATASETS.build(cfg)
    stop_at_faults(dataset_inputs(dataset, 'dataset', 'train', True), 4)


@pytest.fixture(scope='module')
def towns(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Minitown on the disk, beside it zipped and as train ids."""
    root = tmp_path_factory.mktemp('towns')
    draw_minitown(root / 'raw', (64, 128), 4, 3, 1, 3, workers=1)
    for name, (labels, suffix, parts) in SETS.items():
        tiny.zip_parts(root / 'raw' / name, root / 'zip' / name, parts)
        source = root / 'raw' / name / labels
        target = root / 'converted' / name / labels
        done = convert_labels(source, target, name, suffix, workers=1)
        assert done.written and not done.failures
    return root


def config(name: str, root: str) -> dict:
    makers = {'gta': tiny.gta, 'synthia': tiny.synthia}
    if name in makers:
        cfg = makers[name](Path())
    else:
        cfg = tiny.cityscapes(Path(), 'train')
    cfg['pipeline'] = tiny.pipeline(name, augment=True)
    return {**cfg, 'data_root': f'{root}/{name}'}


def converted(name: str, towns: Path) -> dict:
    cfg = config(name, f'{towns}/raw')
    folder = cfg['data_prefix']['seg_map_path']
    cfg['data_prefix']['seg_map_path'] = f'{towns}/converted/{name}/{folder}'
    cfg['pipeline'] = tiny.pipeline('trainids', augment=True)
    start = '_gtFine' if name == 'cityscapes' else ''
    return {**cfg, 'seg_map_suffix': f'{start}_labelTrainIds.png'}


def tensors(cfg: dict) -> list[tuple[torch.Tensor, torch.Tensor]]:
    dataset = DATASETS.build(cfg)
    found = []
    for index in range(len(dataset)):
        with seeded_transforms((0, index)):
            sample = dataset[index]
        label = sample['data_samples'].gt_sem_seg.data
        found.append((sample['inputs'], label))
    return found


def same(one: list, other: list) -> bool:
    pairs = zip(one, other, strict=True)
    return all(torch.equal(a, b) for p in pairs for a, b in zip(*p, strict=1))


@pytest.mark.parametrize('name', SETS)
def test_training_tensors_are_identical(towns, name):
    raw = tensors(config(name, f'{towns}/raw'))
    assert len(raw) >= 3
    assert all(label.unique().numel() > 2 for _, label in raw)
    assert same(raw, tensors(converted(name, towns)))
    assert same(raw, tensors(config(name, f'zip://{towns}/zip')))


@pytest.mark.parametrize('name', SETS)
def test_mmsegs_own_loader_reads_what_is_converted(towns, name):
    cfg = converted(name, towns)
    wanted = tensors(cfg)
    cfg['pipeline'][1] = dict(type='LoadAnnotations')
    assert same(wanted, tensors(cfg))


@pytest.mark.parametrize('name', SETS)
def test_the_checks_before_a_run_pass_on_zip_files(towns, name):
    cfg = config(name, f'zip://{towns}/zip')
    require_images(cfg, 'source')
    check(cfg)


def test_the_checks_before_a_run_name_what_is_not_zipped(towns):
    cfg = config('gta', f'zip://{towns}/zip')
    cfg['data_prefix']['img_path'] = 'none'
    with pytest.raises(FileNotFoundError, match='no folder zip://.*gta/none'):
        require_images(cfg, 'source')
    cfg = config('gta', f'zip://{towns}/zip')
    cfg['seg_map_suffix'] = '_no.png'
    with pytest.raises(FileNotFoundError, match=r'zip://.*_no\.png'):
        check(cfg)


@pytest.mark.parametrize(
    ('start', 'workers'),
    [('fork', 2), pytest.param('spawn', 1, marks=pytest.mark.long)],
)
def test_workers_read_zip_files(towns, start, workers):
    cfg = dict(
        type='UDADataset',
        domains=dict(
            source=config('gta', f'zip://{towns}/zip'),
            target=config('cityscapes', f'zip://{towns}/zip'),
        ),
    )
    cfg['domains']['target']['pipeline'] = tiny.pipeline(None, augment=True)
    dataset = DATASETS.build(cfg)
    keys = [tiny.item((0, k), k % 4, k % 3) for k in range(8)]

    def batches(workers: int, **kwargs) -> list:
        loader = DataLoader(
            dataset, 2, False, keys, num_workers=workers,
            collate_fn=pseudo_collate, **kwargs,
        )  # fmt: skip
        rounds = [batch['inputs'] for _ in range(2) for batch in loader]
        return [torch.stack(b['source'] + b['target']) for b in rounds]

    options = dict(multiprocessing_context=start, persistent_workers=True)
    found, wanted = batches(workers, **options), batches(0)
    assert len(found) == 8
    for one, other in zip(found, wanted, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize('pair', ['gta2cs', 'synthia2cs'])
def test_the_configs_take_another_place_from_the_environment(
    towns, pair, monkeypatch
):
    path = ROOT / 'configs/_base_/datasets' / f'uda_{pair}_896x512.py'
    domains = Config.fromfile(path).train_dataloader.dataset.domains
    assert domains.source.data_root.startswith('data/')
    for name in SETS:
        place = f'zip://{towns}/zip/{name}'
        monkeypatch.setenv(f'{name.upper()}_ROOT', place)
    cfg = Config.fromfile(path)
    domains = cfg.train_dataloader.dataset.domains
    for part in (
        domains.source,
        domains.target,
        cfg.anchor_dataloader.dataset,
        cfg.source_dataloader.dataset,
        cfg.target_dataset,
    ):
        assert len(DATASETS.build({**part, 'pipeline': []})) >= 3
    assert len(DATASETS.build(cfg.val_dataloader.dataset)) == 1


def test_minitown_has_all_kinds_of_files(towns):
    """Else the tests above show less than they say."""
    label = next((towns / 'raw/synthia/GT/LABELS').iterdir())
    assert label.read_bytes()[24] == 16  # bits
    label = next((towns / 'raw/gta/labels').iterdir())
    assert label.read_bytes()[25] == 3  # palette
    label = np.fromfile(next((towns / 'raw').rglob('*labelIds.png')), 'u1')
    assert label[25] == 0  # grey
