# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import pytest
import torch
from mmengine.config import Config
from mmseg.registry import MODELS

from mmseg_cag.analysis.runs.labeling_network import load_labeling_network
from mmseg_cag.errors import UserError
from mmseg_cag.inference.export_onnx import WatchedModel
from mmseg_cag.models.anchors import AnchorBank, DomainAnchorBank
from mmseg_cag.models.anchors.pseudo_label_head import PixelSampler
from mmseg_cag.models.segmentors.base import run_network
from mmseg_cag.models.student import student_model
from tests import tiny

K, C, HEIGHT, WIDTH = 4, 3, 5, 6
DOMAINS = ['gta', 'third']
OF_IMAGES = ['third', 'gta', 'third']


def drawn() -> tuple:
    """Features, scores and labels (one of them void) of three images."""
    feat = torch.randn(3, C, HEIGHT, WIDTH)
    labels = torch.randint(0, K, (3, HEIGHT, WIDTH))
    logits = torch.randn(3, K, HEIGHT, WIDTH)
    labels[:, 0] = 255
    labels[1][labels[1] == 2] = 255  # gta has none of it
    return feat, logits, labels


def filled(bank: AnchorBank, batch: tuple, *domains: list) -> AnchorBank:
    centroids = bank.new_centroids()
    bank.accumulate(centroids, *batch, *domains)
    bank.store(centroids)
    return bank


def test_the_means_of_each_domain_and_of_all():
    batch = feat, _, labels = drawn()
    bank = filled(DomainAnchorBank(DOMAINS, K, C), batch, OF_IMAGES)
    rows = bank.domain_anchors.view(2, K, C)
    for d, domain in enumerate(DOMAINS):
        own = [i for i, name in enumerate(OF_IMAGES) if name == domain]
        for k in range(K):
            pixels = feat[own].transpose(0, 1)[:, labels[own] == k]
            assert bank.domain_counts.view(2, K)[d, k] == pixels.shape[1]
            if pixels.shape[1]:
                torch.testing.assert_close(rows[d, k], pixels.mean(1))
    plain = filled(AnchorBank(K, C), batch)
    torch.testing.assert_close(bank.anchors, plain.anchors)
    assert torch.equal(bank.counts, plain.counts)


@pytest.mark.parametrize('level', ['pixel', 'image'])
def test_a_pixel_is_as_far_as_from_the_nearest_of_a_class(level):
    batch = drawn()
    bank = DomainAnchorBank(DOMAINS, K, C, level=level, min_pixels=1)
    filled(bank, batch, OF_IMAGES)
    feat = torch.randn(2, C, HEIGHT, WIDTH)
    rows = bank.domain_anchors.view(2, K, C)
    counts = bank.domain_counts.view(2, K)
    far = torch.full((2, K, HEIGHT, WIDTH), torch.inf)
    for d in range(2):
        for k in range(K):
            if counts[d, k]:
                gap = feat - rows[d, k][:, None, None]
                far[:, k] = far[:, k].minimum(gap.norm(dim=1))
    found = bank.distances(feat)
    torch.testing.assert_close(found, far, rtol=1e-4, atol=1e-4)
    nearest, gap = bank.nearest(feat)
    assert torch.equal(nearest, found.argmin(1))
    two = found.topk(2, dim=1, largest=False).values
    torch.testing.assert_close(gap, two[:, 1] - two[:, 0])


def test_one_domain_is_the_plain_bank():
    batch = drawn()
    plain = filled(AnchorBank(K, C), batch)
    bank = filled(DomainAnchorBank(['gta'], K, C), batch, ['gta'] * 3)
    assert torch.equal(bank.domain_anchors, plain.anchors)
    feat = torch.randn(2, C, HEIGHT, WIDTH)
    assert torch.equal(bank.distances(feat), plain.distances(feat))


def test_anchors_that_follow():
    batch = drawn()
    bank = DomainAnchorBank(DOMAINS, K, C)
    bank.follow(*batch, OF_IMAGES)
    once = filled(DomainAnchorBank(DOMAINS, K, C), batch, OF_IMAGES)
    torch.testing.assert_close(bank.domain_anchors, once.domain_anchors)


def test_an_image_of_another_domain():
    bank = DomainAnchorBank(DOMAINS, K, C)
    for other in (None, 'few'):
        with pytest.raises(UserError, match=f'domains: has no {other}, of'):
            filled(bank, drawn(), ['gta', other, 'gta'])


def with_limits() -> tuple[Config, torch.nn.Module, torch.Tensor]:
    """A config, its model with limits, and features of the source."""
    torch.manual_seed(0)
    cfg = Config(dict(model=tiny.cag(dropout=0)))
    cfg.model.anchor_bank.update(type='DomainAnchorBank', domains=DOMAINS)
    cfg.model.pseudo_label_head.unknown_quantile = 0.9
    model = MODELS.build(cfg.model)
    model.init_weights()
    model.start_stage()
    batch = tiny.raw_batch()
    samples = batch['data_samples']['source']
    for sample, name in zip(samples, DOMAINS, strict=True):
        sample.set_metainfo(dict(domain=name))
    images = model.data_preprocessor(batch)['inputs']['source']
    images[0] += 20  # far apart
    centroids = model.anchor_bank.new_centroids()
    pixels = PixelSampler(10_000, 2, model.anchor_bank.anchors)
    model.collect_centroids(centroids, pixels, images, samples)
    model.store_anchors(centroids, pixels)
    return cfg, model, pixels.gather()[0]


def test_tools_label_by_the_anchors_of_each_domain():
    """The limits are of the distances to them."""
    cfg, model, feat = with_limits()
    found = load_labeling_network(cfg, model.state_dict(), 'x.pth')
    feat = feat[:, :, None, None].to(found.bank.anchors.device)
    unknown = found.head.unknown(found.bank.distances(feat))
    assert unknown.float().mean().item() == pytest.approx(0.1, abs=0.03)
    # Planted: joint anchors are farther from either domain.
    joint = AnchorBank(*model.anchor_bank.anchors.shape).to(feat.device)
    joint.anchors.copy_(model.anchor_bank.anchors)
    joint.counts.copy_(model.anchor_bank.counts)
    assert found.head.unknown(joint.distances(feat)).float().mean() > 0.3


def test_the_watch_has_the_nearest_of_a_class():
    cfg, model, _ = with_limits()
    bank, unknown = model.anchor_bank, model.pseudo_label_head.unknown
    stock = MODELS.build(student_model(cfg.model)).eval()
    watched = WatchedModel(stock, bank, unknown)
    image = torch.randint(0, 256, (2, 3, *tiny.SIZE)).float()
    with torch.no_grad():
        _, distances, _, excess = watched(image)
        feat = run_network(stock, watched.normalise(image)).feat
    expected = bank.distances(feat)
    known = bank.counts > 0
    torch.testing.assert_close(
        distances[:, known], expected[:, known], rtol=1e-3, atol=1e-3
    )
    torch.testing.assert_close(
        excess, unknown.excess(expected), rtol=1e-2, atol=1e-3
    )


@pytest.mark.parametrize('model', [tiny.cag, tiny.anchor_teacher])
def test_methods_take_it(model):
    cfg = model()
    cfg.anchor_bank.update(type='DomainAnchorBank', domains=DOMAINS)
    network = MODELS.build(cfg).train()
    batch = tiny.raw_batch()
    for sample, name in zip(
        batch['data_samples']['source'], DOMAINS, strict=True
    ):
        sample.set_metainfo(dict(domain=name))
    data = network.data_preprocessor(batch, True)
    if hasattr(network, 'collect_centroids'):
        centroids = network.anchor_bank.new_centroids()
        images = data['inputs']['source'], data['data_samples']['source']
        network.collect_centroids(centroids, None, *images)
        network.store_anchors(centroids, None)
    losses = network(**data, mode='loss')
    assert all(torch.isfinite(loss).all() for loss in losses.values())
    assert network.anchor_bank.domain_counts.view(2, -1).any(1).all()
