# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample

from mmseg_cag.errors import UserError
from mmseg_cag.models.data_preprocessor import hide_padding, padding_of
from mmseg_cag.models.student import student_model
from tests import tiny

SETTINGS = {
    'source': ([10.0, 20.0, 30.0], [1.0, 2.0, 4.0]),
    'target': ([50.0, 60.0, 70.0], [5.0, 3.0, 2.0]),
}


@pytest.fixture
def preprocessor():
    domains = {d: tiny.preprocessor(*s) for d, s in SETTINGS.items()}
    return MODELS.build(dict(type='UDADataPreprocessor', domains=domains))


def image() -> torch.Tensor:
    return torch.randint(0, 256, (3, 20, 30), dtype=torch.uint8)


def sample(labelled: bool = True) -> SegDataSample:
    sample = SegDataSample(metainfo=dict(img_shape=(20, 30)))
    if labelled:
        labels = torch.randint(0, 19, (1, 20, 30))
        sample.gt_sem_seg = PixelData(data=labels)
    return sample


def expected(bgr: torch.Tensor, domain: str) -> torch.Tensor:
    """Normalise by channel and pad at the lower right with zeros."""
    out = torch.zeros(3, *tiny.SIZE)
    settings = zip(*SETTINGS[domain], strict=True)
    for channel, (mean, std) in enumerate(settings):
        out[channel, :20, :30] = (bgr[2 - channel].float() - mean) / std
    return out


def test_each_domain_by_its_own_settings(preprocessor):
    images = {domain: [image(), image()] for domain in SETTINGS}
    samples = {
        'source': [sample(), sample()],
        'target': [sample(False), sample(False)],
    }
    labels = [s.gt_sem_seg.data.clone() for s in samples['source']]
    batch = preprocessor(dict(inputs=images, data_samples=samples), True)
    for domain, raw in images.items():
        found = batch['inputs'][domain]
        assert found.shape == (2, 3, *tiny.SIZE)
        assert found.dtype == torch.float32
        wanted = torch.stack([expected(i, domain) for i in raw])
        torch.testing.assert_close(found, wanted)
    padded = [s.gt_sem_seg.data for s in batch['data_samples']['source']]
    for label, old in zip(padded, labels, strict=True):
        assert label.shape == (1, *tiny.SIZE)
        assert torch.equal(label[:, :20, :30], old)
        assert (label[:, 20:] == 255).all()
        assert (label[..., 30:] == 255).all()
    assert len(batch['data_samples']['target']) == 2


@pytest.mark.parametrize('domain', SETTINGS)
def test_a_batch_of_one_domain(preprocessor, domain):
    raw = image()
    batch = dict(inputs={domain: [raw]}, data_samples={domain: [sample()]})
    batch = preprocessor(batch, True)
    assert list(batch['inputs']) == list(batch['data_samples']) == [domain]
    torch.testing.assert_close(
        batch['inputs'][domain][0], expected(raw, domain)
    )


def test_a_plain_batch_is_the_targets(preprocessor):
    raw = image()
    batch = preprocessor(dict(inputs=[raw], data_samples=[sample()]))
    normalised = expected(raw, 'target')[:, :20, :30]
    torch.testing.assert_close(batch['inputs'][0, :, :20, :30], normalised)


def test_each_member_of_a_pool_by_its_own_settings(preprocessor):
    """Those of its name where there are any, else those of the pool."""
    raw = [image() for _ in range(3)]
    samples = [sample() for _ in raw]
    for one, name in zip(samples, ('target', 'other', 'target'), strict=True):
        one.set_metainfo(dict(domain=name))
    batch = dict(inputs=dict(source=raw), data_samples=dict(source=samples))
    found = preprocessor(batch, True)
    for row, name in enumerate(('target', 'source', 'target')):
        torch.testing.assert_close(
            found['inputs']['source'][row], expected(raw[row], name)
        )
    names = [one.domain for one in found['data_samples']['source']]
    assert names == ['target', 'other', 'target']


def test_a_domain_without_settings_is_told_of_at_export():
    cfg = ConfigDict(tiny.cag())
    domains = dict(day=tiny.preprocessor(), night=tiny.preprocessor())
    cfg.data_preprocessor = dict(type='UDADataPreprocessor', domains=domains)
    with pytest.raises(UserError, match='no domain target, expected one of'):
        student_model(cfg)


def test_members_of_different_sizes(preprocessor):
    for part in preprocessor.domains.values():
        part.size, part.size_divisor = None, 1
    raw = [image(), image()[:, :8]]
    samples = [sample(False), sample(False)]
    samples[0].set_metainfo(dict(domain='target'))
    batch = dict(inputs=dict(source=raw), data_samples=dict(source=samples))
    with pytest.raises(UserError, match='have images of different sizes'):
        preprocessor(batch, True)


def test_padding_is_found_from_the_samples(preprocessor):
    for part in preprocessor.domains.values():
        part.size, part.size_divisor = tiny.SIZE, None
    raw = [torch.ones(3, *tiny.SIZE, dtype=torch.uint8), image()]
    batch = dict(inputs=raw, data_samples=[sample(False), sample(False)])
    images, samples = preprocessor(batch, True).values()
    padding = padding_of(samples, images)
    assert padding.shape == (2, *tiny.SIZE) and not padding[0].any()
    assert not padding[1, :20, :30].any()
    assert padding[1, 20:].all() and padding[1, :, 30:].all()
    assert padding_of(samples[:1], images[:1]) is None
    small = hide_padding(torch.ones(2, 8, 16), padding, 0)
    assert small[0].all() and torch.equal(small[1] == 0, padding[1, ::4, ::4])


def test_padding_is_not_trusted(preprocessor):
    one = sample(False)
    one.trusted = PixelData(data=torch.ones(1, 20, 30, dtype=torch.uint8))
    batch = dict(inputs=[image()], data_samples=[one])
    [one] = preprocessor(batch, True)['data_samples']
    trusted = one.trusted.data
    assert trusted.shape == (1, *tiny.SIZE)
    assert trusted[:, :20, :30].all() and trusted.sum() == 20 * 30
