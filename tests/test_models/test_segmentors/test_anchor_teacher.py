# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import copy

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from mmseg.registry import MODELS
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from mmseg_cag.errors import UserError
from mmseg_cag.models.anchors.class_scores import best_two
from mmseg_cag.models.mixing import Labelled
from mmseg_cag.models.segmentors.base import gt_labels
from tests import tiny
from tests.test_distributed import train_two
from tests.test_models.test_segmentors.test_dacs import batch, losses_of

DISTANCE = dict(type='AnchorDistanceLoss', level='pixel', loss_weight=0.1)


def build(**changes) -> nn.Module:
    torch.manual_seed(0)
    model = MODELS.build({**tiny.anchor_teacher(), **changes})
    model.init_weights()
    return model.train()


def started(**changes) -> nn.Module:
    """After a few steps, so that there are anchors."""
    model = build(**changes)
    for seed in range(3):
        losses_of(model, seed)
    return model


def source_of(model: nn.Module) -> Labelled:
    data = model.data_preprocessor(batch(), True)
    labels = gt_labels(data['data_samples']['source'])
    return Labelled(data['inputs']['source'], labels)


def test_anchors_are_of_the_teacher_s_source_features():
    model = build()
    source = source_of(model)
    model.teacher.update_parameters(model)
    teacher = copy.deepcopy(model.teacher)
    output = teacher(source.images)
    model.source_losses(source)
    expected = copy.deepcopy(build().anchor_bank)
    labels = source.labels[:, ::4, ::4]
    expected.follow(output.feat, output.logits[0], labels)
    assert torch.equal(model.anchor_bank.anchors, expected.anchors)
    assert expected.counts.sum() > 0


def test_the_teacher_keeps_its_statistics_of_the_target():
    model = build()
    model.teacher.update_parameters(model)
    names = ('running_mean', 'running_var')
    before = {
        k: v.clone()
        for k, v in model.teacher.named_buffers()
        if k.endswith(names)
    }
    model.move_anchors(source_of(model))
    after = dict(model.teacher.named_buffers())
    assert before
    assert all(torch.equal(after[key], before[key]) for key in before)


def target_of(model: nn.Module) -> Labelled:
    torch.manual_seed(7)
    return model.label_target(torch.randn(2, 3, *tiny.SIZE), [])


@pytest.mark.parametrize('weights', ['active', 'active_share'])
def test_padding_has_no_weight(weights):
    model = started(weights=weights)
    whole = target_of(model).weight
    torch.manual_seed(7)
    images = torch.randn(2, 3, *tiny.SIZE)
    weight = model.label_target(images, tiny.padded_samples()).weight
    assert not weight[0, -8:].any()
    if weights == 'active':
        assert torch.equal(weight[0, :-8], whole[0, :-8])
        assert torch.equal(weight[1], whole[1])
        return
    active = target_of(started()).weight
    share = torch.cat([active[0, :-8].flatten(), active[1].flatten()]).mean()
    torch.testing.assert_close(weight[1], share.expand(tiny.SIZE))


def nearest(model: nn.Module) -> tuple[Tensor, Tensor]:
    torch.manual_seed(7)
    output = model.teacher(torch.randn(2, 3, *tiny.SIZE))
    logits = output.logits[0].new_zeros(2, 19, *tiny.SIZE)
    return best_two(model.scores(output.feat, logits, 'anchor'))


def test_active_pixels_have_the_label_of_the_nearest_anchor():
    model = started(labels='anchor')
    model.pseudo_label_head.margin.fill_(0.02)
    target = target_of(model)
    label, gap = nearest(model)
    assert torch.equal(target.labels, label)
    assert torch.equal(target.weight, (gap >= 0.02).float())
    assert 0 < target.weight.mean() < 1


def test_weights_by_the_gap_grow_up_to_the_margin():
    model = started(labels='anchor', weights='gap')
    model.pseudo_label_head.margin.fill_(0.02)
    weight = target_of(model).weight
    _, gap = nearest(model)
    torch.testing.assert_close(weight, (gap / 0.02).clamp(max=1))
    model.pseudo_label_head.margin.fill_(torch.inf)
    assert not target_of(model).weight.any()


def test_the_classifier_s_labels_count_where_anchors_agree():
    anchors = started(labels='anchor')
    classifier = started(labels='probability', margin_of='anchor')
    for model in (anchors, classifier):
        model.pseudo_label_head.margin.fill_(0)
    first, second = target_of(anchors), target_of(classifier)
    agree = first.labels == second.labels
    assert torch.equal(second.weight, agree.float())
    assert 0 < agree.float().mean() < 1


def test_both_is_the_product_of_probability_and_nearness():
    model = started(nearness=2.0)
    output = model.teacher(torch.randn(2, 3, *tiny.SIZE))
    logits = output.logits[0]
    scores = model.scores(output.feat, logits, 'both').softmax(1)
    distances = model.anchor_bank.distances(output.feat)
    product = logits.softmax(1) * (-2 * distances).softmax(1)
    torch.testing.assert_close(scores, product / product.sum(1, keepdim=True))


@pytest.mark.parametrize('by', ['anchor', 'probability', 'both'])
def test_the_margin_is_of_what_labels_are_by(by):
    model = started(labels=by)
    source = source_of(model)
    model.pseudo_label_head.precision = 0.01
    output = model.teacher.forward_aside(source.images)
    found = best_two(model.scores(output.feat, output.logits[0], by))
    expected = copy.deepcopy(model.running_margin)
    expected.add(*found, source.labels[:, ::4, ::4])
    model.move_anchors(source)
    assert torch.equal(model.running_margin.counts, expected.counts)
    margin = model.pseudo_label_head.margin
    assert (
        torch.equal(margin, expected.margin(0.01)) and margin.isfinite().all()
    )


def test_shares_are_one_number():
    active = target_of(started())
    share = target_of(started(weights='active_share'))
    assert torch.equal(share.labels, active.labels)
    torch.testing.assert_close(
        share.weight, active.weight.mean().expand_as(share.weight)
    )
    model = started(weights='confident_share', threshold=0.053)
    q = target_of(model).weight
    assert q.min() == q.max() > 0


def test_by_probability_and_q_it_is_mic():
    model = started(labels='probability', weights='confident_share')
    masking = dict(type='Masking', block=8)
    mic = {**tiny.dacs(), 'type': 'MICSegmentor', 'masking': masking}
    mic = MODELS.build(mic).train()
    mic.load_state_dict(model.state_dict(), strict=False)
    expected = losses_of(mic)
    actual = losses_of(model)
    for key, value in expected.items():
        torch.testing.assert_close(actual[key], value, msg=key)


@pytest.mark.parametrize('weights', ['active', 'active_share'])
def test_rows_that_are_not_trusted_have_no_weight(weights):
    model = started(weights=weights, untrusted_top=3, untrusted_bottom=5)
    model.pseudo_label_head.margin.fill_(0)
    weight = target_of(model).weight
    height = tiny.SIZE[0]
    assert weight[:, 3 : height - 5].eq(1).all()
    assert not weight[:, :3].any() and not weight[:, height - 5 :].any()


def test_the_distance_draws_to_the_anchors_where_labels_count():
    model = started(anchor_loss=DISTANCE)
    losses = losses_of(model)
    names = {key for key in losses if 'anchor' in key}
    passes = ('source', 'mix', 'masked')
    assert names == {f'{name}.loss_anchor' for name in passes}
    assert all(losses[name] > 0 for name in names)
    source = source_of(model)
    output = model.forward_student(source.images)
    nothing = torch.zeros_like(source.labels, dtype=torch.float32)
    none = model.labelled_loss(output, source._replace(weight=nothing), 'mix')
    assert none['mix.loss_anchor'] == 0


def test_observers_change_nothing():
    plain, seen = started(), {}
    watched = copy.deepcopy(plain)
    watched.observers.append(lambda **maps: seen.update(maps))
    first, second = losses_of(plain), losses_of(watched)
    assert all(torch.equal(first[key], second[key]) for key in first)
    for key, value in plain.state_dict().items():
        assert torch.equal(value, watched.state_dict()[key]), key
    assert seen.keys() == {'images', 'student', 'teacher', 'probability'}
    assert seen['probability'].shape == seen['student'].argmax(1).shape


def test_a_stock_checkpoint_starts_it():
    stock = MODELS.build(tiny.segmentor())
    model = build()
    missing, unexpected = model.load_state_dict(stock.state_dict(), False)
    assert not missing and not unexpected


def config(root, name: str, **changes) -> Config:
    model = tiny.anchor_teacher()
    model.anchor_loss = DISTANCE
    cfg = tiny.adversarial_run(root, root / name, model)
    cfg.optim_wrapper = dict(
        type='OptimWrapper', optimizer=dict(type='AdamW', lr=1e-2)
    )
    cfg.update(changes)
    return cfg


@pytest.mark.parametrize('workers', [0, 2])
def test_a_resumed_run_has_the_same_weights(tmp_path, workers):
    tiny.write_towns(tmp_path)
    weights = []
    for name in ('whole', 'again'):
        cfg = config(tmp_path, name)
        cfg.train_dataloader.num_workers = workers
        if name == 'again':
            checkpoint = str(tmp_path / 'whole/iter_4.pth')
            cfg.update(resume=True, load_from=checkpoint)
        runner = Runner.from_cfg(cfg)
        runner.train()
        weights.append(runner.model.state_dict())
    for key, value in weights[0].items():
        assert torch.equal(weights[1][key], value), key
    assert weights[0]['anchor_bank.counts'].any()
    assert weights[0]['running_margin.counts'].any()


@pytest.mark.long
def test_two_ranks_hold_the_same(tmp_path):
    tiny.write_towns(tmp_path)
    cfg = config(tmp_path, 'two')
    cfg.train_cfg.update(max_iters=10, val_interval=10)
    cfg.custom_hooks.append(dict(type='KeepRankHook'))
    train_two(tmp_path, cfg)
    first, second = (
        torch.load(tmp_path / 'two' / f'rank{rank}_10.pth')['state_dict']
        for rank in (0, 1)
    )
    assert first['anchor_bank.counts'].any()
    for key in first:
        # Those of each rank's own batches, which no step reads.
        if 'running_mean' not in key and 'running_var' not in key:
            assert torch.equal(first[key], second[key]), key


def test_bfloat16_keeps_anchors_and_margin_exact(tmp_path):
    tiny.write_towns(tmp_path)
    cfg = config(tmp_path, 'bf16')
    cfg.train_cfg.update(max_iters=2, val_interval=2)
    cfg.optim_wrapper.type = 'BFloat16OptimWrapper'
    runner = Runner.from_cfg(cfg)
    runner.train()
    bank = runner.model.anchor_bank
    assert bank.anchors.dtype == torch.float32
    assert bank.anchors.isfinite().all() and bank.counts.any()


def test_no_shape_depends_on_data():
    """Under fake tensors an operation whose shape does so fails."""
    model = started(anchor_loss=DISTANCE)
    data = model.data_preprocessor(batch(), True)
    source = Labelled(
        data['inputs']['source'], gt_labels(data['data_samples']['source'])
    )
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    with mode:
        fake = Labelled(*(mode.from_tensor(part) for part in source[:2]))
        images = mode.from_tensor(data['inputs']['target'])
        losses: dict[str, Tensor] = model.source_losses(fake)
        target = model.label_target(images, [])
        output = model.forward_student(target.images)
        losses |= model.labelled_loss(output, target, 'mix')
        sum(v for k, v in losses.items() if 'loss' in k).backward()


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (dict(labels='nearest'), "labels='nearest', expected one of"),
        (dict(margin_of='q'), "margin_of='q', expected one of"),
        (dict(weights='q'), "weights='q', expected one of"),
        (dict(margin_momentum=2.0), 'margin_momentum=2.0, expected .* 0..1'),
    ],
)
def test_settings_that_are_none(changes, message):
    with pytest.raises(UserError, match=message):
        build(**changes)
