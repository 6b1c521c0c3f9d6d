# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Pixels of no known class: which they are, and that nothing labels them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from mmengine.structures import PixelData
from mmseg.registry import METRICS, MODELS, TRANSFORMS
from mmseg.structures import SegDataSample
from PIL import Image

from mmseg_cag.engine.records.watched_images import predicting_classes
from mmseg_cag.errors import UserError
from mmseg_cag.launch.settings import OPEN_SET
from mmseg_cag.models.anchors.pseudo_label_head import (
    PixelSampler,
    PseudoLabelHead,
)
from mmseg_cag.models.anchors.unknown import UnknownPixels
from mmseg_cag.models.segmentors.cag import mark_unknown
from tests import tiny

CLASSES = ['road', 'wall', 'sky', 'car', 'train']


def test_the_limit_is_the_quantile_of_a_class_own_distances():
    generator = torch.Generator().manual_seed(0)
    distances = torch.rand(4000, 3, generator=generator)
    labels = torch.randint(0, 2, (4000,), generator=generator)
    unknown = UnknownPixels(3, 0.9)
    unknown.calibrate(distances, labels)
    for k in (0, 1):
        own = (labels == k) & (distances.argmin(1) == k)
        share = (distances[own, k] > unknown.limit[k]).float().mean()
        assert share == pytest.approx(0.1, abs=0.003)
    assert unknown.limit[2] == torch.inf
    # Anew at each stage: a class without pixels keeps no old limit.
    unknown.calibrate(distances[labels == 0], labels[labels == 0])
    assert unknown.limit[1:].tolist() == [torch.inf] * 2
    unknown.calibrate(distances, labels)
    maps = torch.rand(2, 3, 4, 5, generator=generator)
    found = unknown(maps)
    for n, y, x in np.ndindex(2, 4, 5):
        own = maps[n, :, y, x]
        assert found[n, y, x] == (own.min() > unknown.limit[own.argmin()])


@pytest.mark.parametrize('number', [1, 2, 5, 50, 250])
def test_at_most_the_share_of_few_pixels_is_beyond_the_limit(number):
    unknown = UnknownPixels(1, 0.99)
    distances = torch.rand(number, 1)
    unknown.calibrate(distances, torch.zeros(number, dtype=torch.int64))
    beyond = unknown(distances).sum()
    assert beyond == number // 100


def test_a_head_gives_unknown_pixels_no_label():
    head = PseudoLabelHead(2, margin=0.0, unknown_quantile=0.5)
    assert head.needs_source and not head.is_auto
    head.calibrate(
        torch.tensor([[1.0, 9], [2, 9], [3, 9], [9, 5], [9, 1]]),
        torch.tensor([0, 0, 0, 1, 0]),
    )
    assert head.unknown.limit.tolist() == [2.0, 5.0]
    distances = torch.tensor([[1.5, 8], [2.5, 8], [8, 4]]).T[None, :, None]
    assert head.by_anchor(distances).tolist() == [[[0, 255, 1]]]
    plain = PseudoLabelHead(2, margin=0.0)
    assert not plain.needs_source
    assert plain.by_anchor(distances).tolist() == [[[0, 0, 1]]]
    assert 'unknown.limit' not in plain.state_dict()
    with pytest.raises(UserError, match='unknown_quantile=1, expected a'):
        PseudoLabelHead(2, unknown_quantile=1)


def cag(**settings) -> torch.nn.Module:
    """A model with anchors and limits of random images."""
    cfg = tiny.cag(by=('anchor', 'probability'))
    cfg['pseudo_label_head'].update(probability=0.0, **settings)
    cfg['test_cfg'] = dict(mode='whole', unknown=True)
    model = MODELS.build(cfg)
    model.init_weights()
    model.start_stage()
    batch = model.data_preprocessor(tiny.raw_batch(), True)
    means = model.anchor_bank.new_centroids()
    pixels = PixelSampler(1000, 2, model.anchor_bank.anchors)
    source = batch['inputs']['source'], batch['data_samples']['source']
    model.collect_centroids(means, pixels, *source)
    model.store_anchors(means, pixels)
    return model


def test_cag_trains_on_no_unknown_pixel_and_shows_them():
    model = cag(unknown_quantile=0.5)
    batch = model.data_preprocessor(tiny.raw_batch(), True)
    target = batch['inputs']['target']
    labels = model.label_target(target)
    feat = model.teacher(target).feat
    distances = model.anchor_bank.distances(feat)
    limit = model.pseudo_label_head.unknown.limit
    unknown = distances.amin(1) > limit[distances.argmin(1)]
    assert 0 < unknown.sum() < unknown.numel()
    for kind in ('anchor', 'probability'):
        assert (labels[kind][unknown] == 255).all()
    # Planted: without the limits they are labelled.
    model.pseudo_label_head.unknown = None
    assert (model.label_target(target)['probability'][unknown] != 255).all()


def test_an_unknown_map_is_as_large_as_the_prediction():
    model = cag(unknown_quantile=0.5).eval()
    raw = tiny.raw_batch()
    data = dict(
        inputs=raw['inputs']['target'],
        data_samples=raw['data_samples']['target'],
    )
    with torch.no_grad():
        results = model.test_step(data)
    for result in results:
        data = result.pred_unknown.data
        assert data.shape == result.pred_sem_seg.data.shape
        assert data.dtype == torch.bool
    model.pseudo_label_head.unknown = None
    with pytest.raises(UserError, match=r'unknown: expected .*_quantile'):
        model.find_unknown(model.forward_student(torch.zeros(1, 3, 32, 32)))


def test_without_limits_nothing_is_called_known():
    model = cag(unknown_quantile=0.5).eval()
    model.pseudo_label_head.unknown.limit.fill_(torch.inf)
    raw = tiny.raw_batch()
    data = dict(
        inputs=raw['inputs']['target'],
        data_samples=raw['data_samples']['target'],
    )
    with pytest.raises(UserError, match='test_cfg.unknown: the checkpoint ha'):
        model.test_step(data)
    # Do no harm compares the classes of a network that has none yet.
    with predicting_classes(model):
        assert 'pred_unknown' not in model.test_step(data)[0]
    assert model.test_cfg.unknown


def test_an_unknown_map_is_resized():
    result = SegDataSample(
        pred_sem_seg=PixelData(data=torch.zeros(1, 4, 6, dtype=torch.long))
    )
    found = torch.tensor([[[True, False], [False, False]]])
    mark_unknown([result], found, (4, 6))
    assert result.pred_unknown.data.sum() == 6
    assert result.pred_unknown.data[0, :2, :3].all()


@pytest.mark.parametrize('direction', [None, 'horizontal', 'vertical'])
@pytest.mark.parametrize('key', ['img_padding_size', 'padding_size'])
def test_an_unknown_map_is_placed_as_the_prediction(key, direction):
    found = torch.rand(1, 8, 12) > 0.5
    meta = {'ori_shape': (5, 9), key: (1, 2, 0, 3), 'flip': bool(direction)}
    meta |= {'padding_size': (0, 9, 0, 9), **meta, 'flip_direction': direction}
    # By mmseg's own way, the pixels of class 1.
    scores = torch.stack([~found, found], 1).float()
    sample = SegDataSample(metainfo=meta)
    model = MODELS.build(tiny.segmentor())
    [result] = model.postprocess_result(scores, [sample])
    mark_unknown([result], found, (8, 12))
    expected = result.pred_sem_seg.data == 1
    assert torch.equal(result.pred_unknown.data, expected)


def test_classes_of_the_target_alone_are_ignored():
    step = dict(type='IgnoreClasses', names=['wall', 'car'], of='GTADataset')
    labels = np.array([[0, 3, 13], [12, 255, 3]], np.uint8)
    results = TRANSFORMS.build(step)(dict(gt_seg_map=labels))
    expected = [[0, 255, 255], [12, 255, 255]]
    assert results['gt_seg_map'].tolist() == expected
    with pytest.raises(UserError, match="IgnoreClasses: 'cow' is not a class"):
        TRANSFORMS.build({**step, 'names': ['cow']})


def open_metric(**settings):
    return METRICS.build(
        dict(
            type='OpenSetIoUMetric',
            **dict(target_only=['car', 'train'], source_only=['sky']),
            **settings,
        )
    )


def test_the_h_score_counts_the_unknown_as_a_class():
    rng = np.random.default_rng(0)
    label = rng.choice([0, 1, 3, 4, 255], (20, 30))
    prediction = rng.integers(0, 5, (20, 30))
    unknown = rng.random((20, 30)) < 0.4
    metric = open_metric()
    metric.dataset_meta = dict(classes=CLASSES)
    data = (label, prediction, unknown)
    truth, classes, flags = (torch.from_numpy(part)[None] for part in data)
    sample = {
        'pred_sem_seg': {'data': classes},
        'gt_sem_seg': {'data': truth},
        'pred_unknown': {'data': flags},
    }
    metric.process({}, [sample])
    results = metric.evaluate(1)
    # Pixel by pixel: the unknown is class 5, which car and train are.
    seen = label != 255
    y = np.where(np.isin(label, (3, 4)), 5, label)[seen]
    p = np.where(unknown, 5, prediction)[seen]
    iou = {
        k: 100 * ((y == k) & (p == k)).sum() / ((y == k) | (p == k)).sum()
        for k in (0, 1, 5)
    }
    mean = (iou[0] + iou[1]) / 2
    assert results['known_mIoU'] == pytest.approx(mean, abs=0.01)
    assert results['unknown_IoU'] == pytest.approx(iou[5], abs=0.01)
    harmonic = 2 * mean * iou[5] / (mean + iou[5])
    assert results['H'] == pytest.approx(harmonic, abs=0.01)
    found = 100 * unknown[label == 3].mean()
    assert results['found.car'] == pytest.approx(found, abs=0.01)
    assert OPEN_SET <= results.keys()
    # The parent's results are as if nothing were unknown.
    stock = METRICS.build(dict(type='UDAIoUMetric'))
    stock.dataset_meta = dict(classes=CLASSES)
    stock.process({}, [sample])
    expected = stock.evaluate(1)
    assert {k: results[k] for k in expected} == expected


@pytest.mark.parametrize('format_only', [False, True])
def test_files_hold_classes_also_of_unknown_pixels(tmp_path, format_only):
    metric = open_metric(output_dir=str(tmp_path), format_only=format_only)
    metric.dataset_meta = dict(classes=CLASSES)
    classes = torch.randint(0, 5, (1, 6, 7))
    sample = {
        'pred_sem_seg': {'data': classes},
        'gt_sem_seg': {'data': classes},
        'pred_unknown': {'data': torch.ones(1, 6, 7, dtype=torch.bool)},
        'img_path': 'a.jpg',
    }
    metric.process({}, [sample])
    written = np.array(Image.open(tmp_path / 'a.png'))
    assert (written == classes[0].numpy()).all()


def test_open_sets_of_several_targets():
    rng = np.random.default_rng(1)
    samples = []
    for domain in ('acdc', 'cityscapes', 'acdc'):
        label, prediction, unknown = (
            torch.from_numpy(rng.integers(0, high, (1, 9, 8)))
            for high in (5, 5, 2)
        )
        samples.append(
            {
                'pred_sem_seg': {'data': prediction},
                'gt_sem_seg': {'data': label},
                'pred_unknown': {'data': unknown},
                'domain': domain,
            }
        )
    pooled, plain = open_metric(), open_metric()
    for metric in (pooled, plain):
        metric.dataset_meta = dict(classes=CLASSES)
    pooled.process({}, samples)
    for sample in samples:
        sample.pop('domain')
    plain.process({}, samples)
    found, expected = pooled.evaluate(3), plain.evaluate(3)
    assert {key: found[key] for key in expected} == expected
    assert found.keys() - expected.keys() == {'mIoU.acdc', 'mIoU.cityscapes'}


def test_what_is_wrong_with_open_sets_is_said():
    with pytest.raises(UserError, match="'sky' is target_only and source_on"):
        open_metric().__class__(target_only=['sky'], source_only=['sky'])
    metric = open_metric()
    with pytest.raises(UserError, match="'car' is no class of the data set"):
        metric.dataset_meta = dict(classes=['road'])
    metric.dataset_meta = dict(classes=CLASSES)
    with pytest.raises(UserError, match='have no pred_unknown, expected'):
        metric.process({}, [{'pred_sem_seg': {}}])
