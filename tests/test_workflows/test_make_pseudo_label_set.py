# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmseg.registry import DATASETS, MODELS
from PIL import Image

from mmseg_cag.datasets.pseudo_label_metadata import METADATA
from mmseg_cag.workflows.pseudo_labels import make
from mmseg_cag.workflows.pseudo_labels.make import make_pseudo_labels
from mmseg_cag.workflows.pseudo_labels.select_confident import ThresholdRule
from mmseg_cag.workflows.pseudo_labels.target_images import target_images
from tests import tiny

IMAGES = 5
RULE = ThresholdRule(0.5, 0.08)  # the tiny network is sure of nothing


@pytest.fixture(scope='module')
def root(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp('towns')
    tiny.write_towns(root)
    torch.manual_seed(3)
    weights = MODELS.build(tiny.segmentor()).state_dict()
    torch.save({'state_dict': weights}, root / 'net.pth')
    return root


@pytest.fixture
def cfg(root: Path, tmp_path: Path) -> Config:
    cfg = tiny.run_config(root, tmp_path / 'work')
    cfg.model = tiny.segmentor()
    cfg.test_dataloader = cfg.val_dataloader
    cfg.test_evaluator = cfg.val_evaluator
    cfg.test_cfg = dict(type='TestLoop')
    cfg.launcher = 'none'
    return cfg


def published(cfg: Config, root: Path) -> tuple[dict, list[float]]:
    """Label the slow way: all pixels of all images at once, sorted."""
    model = MODELS.build(cfg.model).eval()
    model.load_state_dict(torch.load(root / 'net.pth')['state_dict'])
    dataset = DATASETS.build(target_images(cfg))
    labels, confidences = {}, {}
    for index in range(len(dataset)):
        image = dataset[index]['inputs'].flip(0)[None].float()
        mean, std = (
            torch.tensor(v).view(3, 1, 1) for v in (tiny.MEAN, tiny.STD)
        )
        with torch.no_grad():
            logits = model.decode_head(
                model.extract_feat((image - mean) / std)
            )
            soft = F.interpolate(logits.softmax(1), tiny.SIZE, mode='bilinear')
        name = Path(dataset.get_data_info(index)['img_path']).name
        best, label = soft[0].max(0)
        labels[name], confidences[name] = label.numpy(), best.double().numpy()
    thresholds = []
    for k in range(19):
        pixels = sorted(
            value
            for name, label in labels.items()
            for value in confidences[name][label == k]
        )
        median = pixels[round(0.5 * len(pixels))] if pixels else 0.0
        thresholds.append(min(median, RULE.cap))
        for name, label in labels.items():
            unsure = confidences[name] < thresholds[k]
            label[(label == k) & unsure] = 255
    return labels, thresholds


def read(folder: Path) -> dict[str, np.ndarray]:
    return {
        path.name: np.array(Image.open(path))
        for path in sorted(folder.rglob('*.png'))
    }


def test_labels_and_thresholds_are_the_published_ones(cfg, root, tmp_path):
    out = tmp_path / 'labels'
    note = make_pseudo_labels(cfg, root / 'net.pth', out, RULE)
    expected, thresholds = published(cfg, root)
    found = read(out)
    assert found.keys() == expected.keys() and len(found) == IMAGES
    for name, label in expected.items():
        assert np.array_equal(found[name], label), name
    classes = note['classes'].values()
    assert [c['threshold'] for c in classes] == thresholds
    pixels = np.concatenate([label.ravel() for label in found.values()])
    kept = np.bincount(pixels[pixels < 255], minlength=19)
    assert [c['kept'] for c in classes] == kept.tolist()
    assert 0 < kept.sum() < pixels.size
    assert sum(c['predicted'] for c in classes) == pixels.size


def test_the_folder_is_laid_out_as_the_images_and_tells_its_origin(
    cfg, root, tmp_path
):
    out = tmp_path / 'a' / 'labels'
    make_pseudo_labels(cfg, root / 'net.pth', out, RULE)
    images = root / 'cityscapes' / 'leftImg8bit' / 'train'
    assert {p.relative_to(out) for p in out.rglob('*.png')} == {
        p.relative_to(images) for p in images.rglob('*.png')
    }
    note = json.loads((out / METADATA).read_text())
    assert note['images'] == IMAGES and note['ignore_index'] == 255
    assert note['provenance']['randomness'] == {'seed': 5}
    assert len(note['origin']['checkpoint_sha256']) == 64
    # Nothing of the work is left.
    assert {p.name for p in out.iterdir()} == {'bern', METADATA}
    assert list(out.parent.iterdir()) == [out]


def test_no_step_opens_a_label(cfg):
    cfg.train_dataloader.dataset.domains.target.data_prefix.seg_map_path = (
        'gtFine'
    )
    images = target_images(cfg)
    assert images['data_prefix'] == dict(img_path='leftImg8bit/train')
    steps = [step['type'] for step in images['pipeline']]
    assert steps == ['LoadImageFromFile', 'PackSegInputs']


def test_complete_labels_are_reused(cfg, root, tmp_path, monkeypatch):
    out = tmp_path / 'labels'
    first = make_pseudo_labels(cfg, root / 'net.pth', out, RULE)
    monkeypatch.setattr(make, 'predict', None)
    assert make_pseudo_labels(cfg, root / 'net.pth', out, RULE) == first


def test_an_interrupted_work_is_gone_on_with(cfg, root, tmp_path, monkeypatch):
    whole = make_pseudo_labels(cfg, root / 'net.pth', tmp_path / 'one', RULE)
    predict, calls = make.predict, []

    def count(model, batch):
        calls.append(batch)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return predict(model, batch)

    monkeypatch.setattr(make, 'predict', count)
    out = tmp_path / 'two'
    with pytest.raises(KeyboardInterrupt):
        make_pseudo_labels(cfg, root / 'net.pth', out, RULE)
    assert not out.exists()
    note = make_pseudo_labels(cfg, root / 'net.pth', out, RULE)
    assert len(calls) == 3 + IMAGES - 2
    assert note['classes'] == whole['classes']
    one, two = read(tmp_path / 'one'), read(out)
    assert all(np.array_equal(one[name], two[name]) for name in one)


def complain(cfg, checkpoint, out, rule=RULE) -> str:
    with pytest.raises(ValueError) as caught:
        make_pseudo_labels(cfg, checkpoint, out, rule)
    assert '\n' not in str(caught.value)
    return str(caught.value)


def test_labels_of_another_origin_stay_as_they_are(cfg, root, tmp_path):
    out = tmp_path / 'labels'
    make_pseudo_labels(cfg, root / 'net.pth', out, RULE)
    before = read(out)
    weights = torch.load(root / 'net.pth')
    weights['state_dict']['decode_head.conv_seg.bias'] += 1
    torch.save(weights, tmp_path / 'other.pth')
    line = complain(cfg, tmp_path / 'other.pth', out)
    assert f'{out}: holds pseudo labels of another' in line
    assert 'checkpoint_sha256 was' in line
    line = complain(cfg, root / 'net.pth', out, ThresholdRule(0.5, 0.9))
    assert 'cap was 0.08, is 0.9' in line
    cfg.test_dataloader.dataset.pipeline.insert(
        1, dict(type='Resize', scale=(32, 16))
    )
    assert 'images.pipeline was' in complain(cfg, root / 'net.pth', out)
    after = read(out)
    assert all(np.array_equal(before[name], after[name]) for name in before)


def test_a_draft_of_another_origin(cfg, root, tmp_path, monkeypatch):
    out = tmp_path / 'labels'
    monkeypatch.setattr(make, 'predict', None)
    with pytest.raises(TypeError):
        make_pseudo_labels(cfg, root / 'net.pth', out, RULE)
    line = complain(cfg, root / 'net.pth', out, ThresholdRule(0.5, 0.9))
    assert line.startswith(f'{out}.part: holds pseudo labels of another')


def test_other_files_are_not_touched(cfg, root, tmp_path):
    mine = tmp_path / 'labels' / 'mine.txt'
    mine.parent.mkdir()
    mine.write_text('mine')
    assert 'files but no' in complain(cfg, root / 'net.pth', mine.parent)
    assert mine.read_text() == 'mine'


def test_what_cannot_be_used(cfg, root, tmp_path):
    out = tmp_path / 'labels'
    line = complain(cfg, 'none.pth', out)
    assert line == 'none.pth: checkpoint not found'
    cfg.train_dataloader.dataset.domains.target = dict(
        type='ConcatDataset',
        datasets=[cfg.train_dataloader.dataset.domains.target],
    )
    assert 'combines data sets' in complain(cfg, root / 'net.pth', out)
    cfg.train_dataloader.dataset = cfg.train_dataloader.dataset.domains.source
    assert 'target_dataset is missing' in complain(cfg, root / 'net.pth', out)
    assert not out.exists()


def test_a_source_only_run_labels_its_target_too(cfg, root, tmp_path):
    cfg.target_dataset = cfg.train_dataloader.dataset.domains.target
    cfg.train_dataloader.dataset = cfg.train_dataloader.dataset.domains.source
    make_pseudo_labels(cfg, root / 'net.pth', tmp_path / 'labels', RULE)
    assert len(read(tmp_path / 'labels')) == IMAGES
