# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""What a run finds in the contents of its data, at its start or soon after."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.evaluator import Evaluator
from mmengine.structures import PixelData
from mmseg.registry import DATASETS, HOOKS
from mmseg.structures import SegDataSample
from PIL import Image
from torch import nn

from mmseg_cag.datasets.inspection.dataset_inputs import dataset_inputs
from mmseg_cag.datasets.transforms import LoadLabelIds
from mmseg_cag.engine.checks import check_data_hook
from mmseg_cag.engine.checks.check_data_hook import (
    check_evaluation,
    stop_at_faults,
)
from mmseg_cag.errors import UserError
from mmseg_cag.evaluation import UDAIoUMetric
from tests import tiny


@pytest.fixture
def towns(tmp_path: Path) -> Path:
    tiny.write_towns(tmp_path)
    return tmp_path


def check(cfg: dict, role: str = 'train') -> None:
    stop_at_faults(dataset_inputs(DATASETS.build(cfg), 'data', role), 2)


def complaint(cfg: dict) -> str:
    with pytest.raises(UserError) as caught:
        check(cfg)
    assert '\n' not in str(caught.value)
    return str(caught.value)


def labels_of(root: Path) -> list[Path]:
    return sorted((root / 'gta/labels').iterdir())


def test_labels_that_are_void_everywhere(towns):
    *paths, last = labels_of(towns)
    for path in paths:
        tiny.save_palette(path, np.zeros(tiny.SIZE, np.uint8))
    check(tiny.gta(towns))  # one is enough
    tiny.save_palette(last, np.zeros(tiny.SIZE, np.uint8))
    assert complaint(tiny.gta(towns)) == (
        f'{towns}/gta/labels: all void in {len(paths) + 1} labels'
    )


def test_one_labelled_image_among_many_is_found(towns, monkeypatch):
    monkeypatch.setattr('mmseg_cag.data_check.contents.FEW', 2)
    for path in labels_of(towns)[:-1]:
        tiny.save_palette(path, np.zeros(tiny.SIZE, np.uint8))
    check(tiny.gta(towns))


def stock(root: Path) -> dict:
    """Labels by mmseg's own step, which knows no classes."""
    cfg = tiny.gta(root)
    cfg['pipeline'][1] = dict(type='LoadAnnotations')
    for path in labels_of(root):
        ids = np.zeros(tiny.SIZE, np.uint8)
        ids[:3] = 255
        Image.fromarray(ids).save(path)
    return cfg


def test_ids_beyond_the_classes(towns):
    cfg = stock(towns)
    check(cfg)
    path = labels_of(towns)[1]
    Image.fromarray(np.full(tiny.SIZE, 19, np.uint8)).save(path)
    assert complaint(cfg) == f'{path}: neither a class nor a known void: 19'


def test_images_that_would_be_nearly_black(towns):
    for path in (towns / 'gta/images').iterdir():
        grey = np.asarray(Image.open(path).convert('L'))
        Image.fromarray(grey.astype(np.uint16) << 4).save(path)
    assert '16-bit images use only 12' in complaint(tiny.gta(towns))


def test_a_label_of_nearly_the_size_of_its_image_is_resized(
    towns, monkeypatch
):
    height, width = tiny.SIZE
    for path in labels_of(towns)[2:4]:
        Image.open(path).resize((width - 1, height)).save(path)
    messages = []
    monkeypatch.setattr(
        check_data_hook, 'print_log', lambda text, *_: messages.append(text)
    )
    check(tiny.gta(towns))
    [message] = [text for text in messages if 'resized' in text]
    assert message.startswith(
        f'{labels_of(towns)[2]}: label resized, expected the size of its '
        f'image, {width}x{height}, found {width - 1}x{height} (and 1 more). '
    )
    sample = DATASETS.build(tiny.gta(towns))[2]
    label = sample['data_samples'].gt_sem_seg.data
    assert label.shape[1:] == sample['inputs'].shape[1:]
    step = LoadLabelIds('gta')
    narrow = step.map_ids(step.read_ids(str(labels_of(towns)[2])), 'path')
    columns = (np.arange(width) + 0.5) * (width - 1) / width
    nearest = narrow[:, columns.astype(int)]
    assert np.array_equal(label[0].numpy(), nearest)


def test_a_label_of_another_frame_is_refused(towns):
    path = labels_of(towns)[2]
    Image.open(path).rotate(90, expand=True).save(path)
    height, width = tiny.SIZE
    text = f'found {height}x{width}'
    assert text in complaint(tiny.gta(towns))
    with pytest.raises(UserError, match=text):
        DATASETS.build(tiny.gta(towns))[2]


def batches(*labels: list[int], classes: int = 2) -> None:
    """Train on batches of one sample each."""
    model = nn.Module()
    model.decode_head = SimpleNamespace(num_classes=classes, ignore_index=255)
    runner = SimpleNamespace(
        model=model,
        max_iters=len(labels),
        train_dataloader=SimpleNamespace(dataset=range(2)),
    )
    hook = HOOKS.build(dict(type='CheckDataHook'))
    hook._own_ids = False
    for index, ids in enumerate(labels):
        sample = SegDataSample(metainfo=dict(seg_map_path='label.png'))
        sample.gt_sem_seg = PixelData(data=torch.tensor([[ids]]))
        batch = dict(data_samples=[sample])
        if index % 2:
            batch = dict(data_samples=dict(source=[sample], target=[]))
        hook.before_train_iter(runner, index, batch)


def test_a_run_without_a_labelled_pixel_stops(monkeypatch):
    batches([255, 255], [255, 255], [255, 1])
    with pytest.raises(UserError, match=r'label\.png: .* of 3 batches'):
        batches([255, 255], [255, 255], [255, 255])
    monkeypatch.setattr(check_data_hook, 'PATIENCE', 2)
    with pytest.raises(UserError, match=r'label\.png: .* of 2 batches'):
        batches([255, 255], [255, 255], [255, 1])


def test_an_id_that_is_no_class_is_named_with_its_file():
    with pytest.raises(UserError, match=r'label\.png: found the id 2, exp'):
        batches([0, 1], [1, 1], [0, 2])


def evaluation(
    cfg: dict, batch_size: int = 1, metric: dict | None = None
) -> SimpleNamespace:
    dataset = DATASETS.build(cfg)
    evaluator = Evaluator(metric or dict(type='UDAIoUMetric'))
    loader = SimpleNamespace(dataset=dataset, batch_size=batch_size)
    loop = SimpleNamespace(dataloader=loader, evaluator=evaluator)
    model = nn.Module()
    model.data_preprocessor = SimpleNamespace(test_cfg=None)
    return SimpleNamespace(val_loop=loop, model=model)


def test_images_of_two_sizes_are_no_batch(towns):
    cfg = tiny.cityscapes(towns, 'val')
    check_evaluation(evaluation(cfg, 2), 'val')
    folder = towns / 'cityscapes/leftImg8bit/val'
    path = sorted(folder.rglob('*.png'))[-1]
    Image.open(path).resize((32, 32)).save(path)
    name = path.name.replace('leftImg8bit', 'gtFine_labelIds')
    label = next((towns / 'cityscapes/gtFine/val').rglob(name))
    Image.open(label).resize((32, 32), Image.Resampling.NEAREST).save(label)
    check_evaluation(evaluation(cfg, 1), 'val')
    with pytest.raises(UserError) as caught:
        check_evaluation(evaluation(cfg, 2), 'val')
    text = str(caught.value)
    assert text.startswith('val_dataloader.batch_size=2: expected images of')
    assert f'{path} of 32x32' in text
    resize = dict(type='Resize', scale=(16, 16), keep_ratio=False)
    cfg['pipeline'].insert(1, resize)
    check_evaluation(evaluation(cfg, 2), 'val')


def test_an_evaluation_needs_labels_or_writes_predictions(towns, tmp_path):
    cfg = tiny.cityscapes(towns, 'val')
    cfg['pipeline'].pop(1)
    cfg['data_prefix'].pop('seg_map_path')
    check(cfg, 'val')
    with pytest.raises(UserError, match='reads no labels, which val_evalua'):
        check_evaluation(evaluation(cfg), 'val')
    metric = dict(
        type='UDAIoUMetric', format_only=True, output_dir=str(tmp_path)
    )
    check_evaluation(evaluation(cfg, metric=metric), 'val')


def sample_of(path: str, truth: list[int] | None = None) -> dict:
    sample = dict(
        img_path=path,
        seg_map_path='label.png',
        pred_sem_seg=dict(data=torch.tensor([[[0, 1]]])),
    )
    if truth:
        sample['gt_sem_seg'] = dict(data=torch.tensor([[truth]]))
    return sample


def test_predictions_keep_the_folders_of_their_images(tmp_path):
    out = tmp_path / 'out'
    metric = UDAIoUMetric(format_only=True, output_dir=str(out))
    metric.dataset_meta = dict(classes=('road', 'car'))
    metric.image_folder = 'data/val'
    paths = [f'data/val/{name}.png' for name in ('a/0', 'b/0', '1')]
    metric.process({}, [sample_of(path) for path in paths])
    written = {str(p.relative_to(out)) for p in out.rglob('*.png')}
    assert written == {'a/0.png', 'b/0.png', '1.png'}
    assert metric.output_dir == str(out)


def test_an_evaluation_names_an_id_that_is_no_class():
    metric = UDAIoUMetric()
    metric.dataset_meta = dict(classes=('road', 'car'))
    metric.process({}, [sample_of('a.png', [255, 1])])
    with pytest.raises(UserError, match=r'label\.png: found the id 2, exp'):
        metric.process({}, [sample_of('a.png', [0, 2])])
