# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Anchors of an encoder that is not the student's."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from mmengine.config import Config, ConfigDict
from mmengine.runner import Runner
from mmseg.registry import MODELS

from mmseg_cag.errors import UserError
from mmseg_cag.models.anchors.anchor_bank import AnchorBank
from mmseg_cag.models.losses.anchor_alignment_loss import AnchorAlignmentLoss
from mmseg_cag.models.mixing import Labelled
from mmseg_cag.models.segmentors.anchor_teacher import AnchorTeacherSegmentor
from mmseg_cag.models.segmentors.foreign_anchors import ForeignAnchorSegmentor
from tests import tiny
from tests.test_distributed import state, train_two

K, M, C = 4, 3, 5


@pytest.fixture
def bank() -> AnchorBank:
    """Anchors of three classes; of the second one there is one."""
    bank = AnchorBank(K * M, C)
    bank.anchors.copy_(torch.randn(K * M, C))
    bank.counts.fill_(1)
    bank.counts[[4, 5]] = 0
    bank.counts[9:] = 0
    return bank


def slow_loss(
    kind: str, bank, feat, labels, temperature: float, absent: tuple = ()
) -> float:
    """Go over pixels and anchors one by one."""
    terms = []
    for n, i, j in torch.cartesian_prod(*map(torch.arange, labels.shape)):
        own = int(labels[n, i, j])
        f = feat[n, :, i, j]
        near, alike = {}, {}
        for index, anchor in enumerate(bank.anchors):
            if bank.counts[index] and index // M not in absent:
                cosine = torch.cosine_similarity(f, anchor, dim=0)
                near.setdefault(index // M, []).append((f - anchor).norm())
                alike.setdefault(index // M, []).append(
                    math.exp(cosine / temperature)
                )
        if own not in near:
            continue
        if kind == 'distance':
            terms.append(float(min(near[own])))
        else:
            total = sum(sum(values) for values in alike.values())
            terms.append(-math.log(sum(alike[own]) / total))
    return sum(terms) / len(terms)


@pytest.mark.parametrize('kind', ['infonce', 'distance'])
def test_the_loss_is_that_written_out(bank, kind):
    loss = AnchorAlignmentLoss(kind, temperature=0.3, loss_weight=2.0)
    feat = torch.randn(2, C, 3, 4, requires_grad=True)
    labels = torch.randint(-1, K, (2, 3, 4))
    labels[0, 0] = 255
    found = loss(bank, M, feat, labels)
    expected = 2 * slow_loss(kind, bank, feat.detach(), labels, 0.3)
    assert float(found) == pytest.approx(expected, rel=1e-5)
    found.backward()
    assert feat.grad.isfinite().all()
    assert not feat.grad[0, :, 0].any()


def test_where_no_pixel_counts_it_is_zero(bank):
    feat = torch.randn(1, C, 2, 2, requires_grad=True)
    loss = AnchorAlignmentLoss()(bank, M, feat, torch.full((1, 2, 2), 3))
    loss.backward()
    assert loss == 0 and not feat.grad.any()


def test_anchors_of_classes_that_a_domain_does_not_label_do_not_push(bank):
    absent = torch.zeros(2, K, 3, 4, dtype=torch.bool)
    absent[1, 2] = True
    feat = torch.randn(2, C, 3, 4)
    labels = torch.randint(0, 2, (2, 3, 4))
    found = AnchorAlignmentLoss(loss_weight=1.0)(bank, M, feat, labels, absent)
    first, second = (
        slow_loss('infonce', bank, feat[[i]], labels[[i]], 0.1, classes)
        for i, classes in ((0, ()), (1, (2,)))
    )
    assert float(found) == pytest.approx((first + second) / 2, rel=1e-5)


def test_the_loss_of_the_source_is_told_them(monkeypatch):
    network = MODELS.build(model(alignment=dict())).train()
    batch = tiny.raw_batch()
    for sample in batch['data_samples']['source']:
        sample.set_metainfo(dict(absent=(9, 14)))
    data = network.data_preprocessor(batch, True)
    told = []
    monkeypatch.setattr(
        network.alignment, 'forward', lambda *a: told.append(a[4]) or 0.0
    )
    network(**data, mode='loss')
    source, mixed, masked = told
    assert source.shape == (2, 19, *(side // 4 for side in tiny.SIZE))
    assert source[:, [9, 14]].all() and source.sum() == 2 * source[:, 9].sum()
    assert 0 < mixed.sum() < source.sum() and masked is None


def foreign(**head) -> dict:
    return dict(
        data_preprocessor=tiny.preprocessor([100.0] * 3, [40.0] * 3),
        backbone=dict(
            type='DINOv2',
            arch=dict(dim=48, depth=2, heads=3),
            pretrain_size=56,
            resize=1.0,
        ),
        decode_head=dict(
            type='AnchorHead',
            in_channels=48,
            num_classes=19,
            align_corners=False,
            per_class=2,
            precision=0.3,
            **head,
        ),
    )


def model(**kwargs) -> ConfigDict:
    return ConfigDict(
        tiny.anchor_teacher(),
        type='ForeignAnchorSegmentor',
        foreign=foreign(),
        **kwargs,
    )


def config(root: Path, name: str, iters: int, workers: int = 0) -> Config:
    cfg = tiny.run_config(root, root / name)
    tiny.one_stage(cfg, iters)
    cfg.train_dataloader.num_workers = workers
    cfg.model = model(alignment=dict())
    cfg.default_hooks.foreign = dict(type='ForeignAnchorHook')
    cfg.custom_hooks.append(dict(type='KeepRankHook'))
    return cfg


def train(cfg: Config) -> dict:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Config, 'pretty_text', property(repr))
        runner = Runner.from_cfg(cfg)
    runner.train()
    return runner.model.state_dict()


@pytest.mark.parametrize('workers', [0, 2])
def test_a_run_goes_on_with_the_same_bits_and_anchors(tmp_path, workers):
    tiny.write_towns(tmp_path)
    whole = train(config(tmp_path, 'whole', 4, workers))
    counts = whole['foreign.network.decode_head.anchor_bank.counts']
    met = counts.view(19, 2).sum(1).nonzero().flatten().tolist()
    assert set(met) == set(tiny.USED)
    again = config(tmp_path, 'again', 4, workers)
    again.update(resume=True, load_from=str(tmp_path / 'whole/iter_2.pth'))
    for name, value in train(again).items():
        assert torch.equal(value, whole[name]), name
    assert whole['teacher.steps'] == 4


def test_anchors_are_of_the_precision_of_the_step(tmp_path, monkeypatch):
    met, maps = [], ForeignAnchorSegmentor.foreign_maps

    def noted(model: ForeignAnchorSegmentor, images: torch.Tensor) -> tuple:
        met.append(torch.is_autocast_cpu_enabled())
        return maps(model, images)

    monkeypatch.setattr(ForeignAnchorSegmentor, 'foreign_maps', noted)
    tiny.write_towns(tmp_path)
    cfg = config(tmp_path, 'half', 1)
    cfg.optim_wrapper.type = 'BFloat16OptimWrapper'
    train(cfg)
    assert len(met) > 2 and all(met)


@pytest.mark.long
def test_two_processes_hold_the_same(tmp_path):
    tiny.write_towns(tmp_path)
    cfg = config(tmp_path, 'two', 10)
    one = train(config(tmp_path, 'one', 1))
    train_two(tmp_path, cfg)
    first, second = (state(tmp_path / 'two', rank, 10) for rank in (0, 1))
    for name, value in first.items():
        if 'running_' not in name or 'running_margin' in name:
            assert torch.equal(value, second[name]), name
    # All pixels count once, whoever has seen them.
    mark = 'foreign.network.decode_head.anchor_bank.counts'
    total = first[mark].view(19, 2).sum(1)
    assert torch.equal(total, one[mark].view(19, 2).sum(1))


def labelled(monkeypatch, use: str, found: torch.Tensor) -> Labelled:
    """What a host that labels all by 2 gets of foreign labels."""
    network = MODELS.build(model(foreign_labels=use))
    images = torch.randn(1, 3, *tiny.SIZE)
    whole = torch.full((1, *tiny.SIZE), 2)
    host = Labelled(images, whole, torch.full(whole.shape, 0.5))
    monkeypatch.setattr(
        AnchorTeacherSegmentor, 'label_target', lambda *_: host
    )
    monkeypatch.setattr(
        type(network.foreign_head), 'pseudo_labels', lambda *_: found
    )
    return network.label_target(images, [tiny.random_sample(False)])


def test_a_veto_and_a_replacement(monkeypatch):
    found = torch.tensor([[[2, 3], [255, 3]]])
    corners = (slice(None), [0, 0, -1, -1], [0, -1, 0, -1])
    kept = labelled(monkeypatch, 'none', found)
    assert (kept.labels == 2).all() and (kept.weight == 0.5).all()
    vetoed = labelled(monkeypatch, 'veto', found)
    assert (vetoed.labels == 2).all()
    assert vetoed.weight[corners].tolist() == [[0.5, 0.0, 0.5, 0.0]]
    replaced = labelled(monkeypatch, 'replace', found)
    assert replaced.labels[corners].tolist() == [[2, 3, 2, 3]]
    assert replaced.weight[corners].tolist() == [[1.0, 1.0, 0.0, 1.0]]


def test_the_encoder_is_in_no_optimizer_and_no_teacher():
    network = MODELS.build(model(alignment=dict()))
    assert not [n for n, _ in network.named_parameters() if 'foreign' in n]
    assert not [k for k in network.teacher.state_dict() if 'foreign' in k]
    assert network.projection.out_channels == 48
    assert not network.train().foreign.network.training


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(foreign_labels='all'), "foreign_labels='all', expected one of"),
        (dict(alignment=dict(kind='cosine')), "alignment.kind='cosine'"),
        (
            dict(foreign=dict(tiny.segmentor())),
            'decode_head.type=FCNHead, expected AnchorHead',
        ),
    ],
)
def test_settings_that_do_not_fit_are_refused(change, message):
    with pytest.raises(UserError, match=message):
        MODELS.build(ConfigDict(model(), **change))


def test_other_classes_are_refused():
    cfg = model()
    cfg.foreign.decode_head.num_classes = 7
    with pytest.raises(UserError, match='num_classes=7, expected 19'):
        MODELS.build(cfg)


def test_the_hook_is_for_this_method_alone(tmp_path):
    tiny.write_towns(tmp_path)
    cfg = config(tmp_path, 'other', 2)
    cfg.model = tiny.dacs()
    with pytest.raises(UserError, match='expected ForeignAnchorSegmentor'):
        train(cfg)
