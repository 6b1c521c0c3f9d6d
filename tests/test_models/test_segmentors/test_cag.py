# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import copy

import pytest
import torch
from mmengine.runner import load_checkpoint, save_checkpoint
from mmseg.registry import MODELS
from torch import Tensor, nn

from mmseg_cag.models.anchors.pseudo_label_head import PixelSampler
from mmseg_cag.models.teacher import prediction_parts
from tests import tiny

BOTH = ('anchor', 'probability')
RELEASE = dict(type='AnchorDistanceLoss', level='centroid', min_pixels=1)


def build(anchors: bool = True, **kwargs) -> nn.Module:
    """A model in training, by default with anchors of random images."""
    model = MODELS.build(tiny.cag(**kwargs))
    model.init_weights()
    if anchors:
        model.start_stage()
        batch = model.data_preprocessor(tiny.raw_batch(), True)
        means = model.anchor_bank.new_centroids()
        pixels = None
        if model.pseudo_label_head.is_auto:
            pixels = PixelSampler(1000, 2, model.anchor_bank.anchors)
        model.collect_centroids(
            means,
            pixels,
            batch['inputs']['source'],
            batch['data_samples']['source'],
        )
        model.store_anchors(means, pixels)
        assert model.anchor_bank.counts.count_nonzero() == 4
    return model.train()


def losses_of(model: nn.Module) -> dict[str, Tensor]:
    batch = model.data_preprocessor(tiny.raw_batch(), True)
    return model(**batch, mode='loss')


def equal_states(first: nn.Module, second: nn.Module) -> bool:
    one, two = first.state_dict(), second.state_dict()
    return one.keys() == two.keys() and all(
        torch.equal(one[key], two[key]) for key in one
    )


@pytest.mark.parametrize(
    ('by', 'kinds'), [(('anchor',), ['anchor']), (BOTH, [*BOTH])]
)
def test_the_keys_of_the_losses(by, kinds):
    losses = losses_of(build(by=by))
    expected = {
        'source.loss_ce',
        'source.acc_seg',
        'source.loss_anchor',
        'target.loss_anchor',
        *(f'target.loss_ce_{kind}' for kind in kinds),
        *(f'target.active_{kind}' for kind in kinds),
    }
    assert set(losses) == expected
    for key, value in losses.items():
        if 'loss' in key:
            assert value.ndim == 0 and value > 0, key


def test_the_teacher_makes_no_graph():
    model, seen = build(by=BOTH), {}
    model.observers.append(lambda **maps: seen.update(maps))
    assert losses_of(model)['source.loss_ce'].requires_grad
    assert {'teacher', 'distances', 'anchor', 'probability'} <= seen.keys()
    assert not any(seen[key].requires_grad for key in seen)


def test_without_the_anchor_loss():
    model = MODELS.build(
        {**tiny.cag(by=('probability',)), 'anchor_loss': None}
    )
    losses = losses_of(model)
    assert not any('anchor' in key for key in losses)
    assert losses['target.loss_ce_probability'] > 0


def test_the_cross_entropy_of_both_kinds_is_averaged():
    model = build(by=BOTH)
    output = model.forward_student(torch.randn(2, 3, *tiny.SIZE))
    labels = torch.randint(0, 4, output.logits[0][:, 0].shape)
    labels[:, 0] = 255
    pseudo = dict(anchor=labels, probability=labels)
    losses = model.pseudo_label_losses(output, pseudo)
    wanted = nn.functional.cross_entropy(
        output.logits[0], labels, ignore_index=255
    )
    for kind in BOTH:
        torch.testing.assert_close(
            losses[f'target.loss_ce_{kind}'], wanted / 2
        )
        torch.testing.assert_close(
            losses[f'target.active_{kind}'], (labels != 255).float().mean()
        )


def test_the_teacher_is_frozen_and_stays_in_evaluation():
    model = MODELS.build(tiny.cag())
    assert model.training and model.backbone.training
    assert not any(m.training for m in model.teacher.modules())
    assert model.train() is model
    assert not any(m.training for m in model.teacher.modules())
    assert not any(p.requires_grad for p in model.teacher.parameters())
    assert all(p.requires_grad for p in model.backbone.parameters())
    model.eval()
    assert not model.backbone.training


def test_a_step_changes_the_student_alone():
    model = build(by=BOTH)
    teacher = copy.deepcopy(model.teacher)
    anchors = model.anchor_bank.anchors.clone()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    sum(v for k, v in losses_of(model).items() if 'loss' in k).backward()
    before = model.backbone.layers[0].conv.weight.clone()
    optimizer.step()
    assert not torch.equal(model.backbone.layers[0].conv.weight, before)
    assert equal_states(model.teacher, teacher)
    assert torch.equal(model.anchor_bank.anchors, anchors)


@pytest.mark.parametrize('neck', [False, True])
def test_start_stage_copies_the_student_exactly(neck):
    model = build(anchors=False, neck=neck)
    losses_of(model)  # moves the batch statistics
    assert not equal_states(model.teacher.module.backbone, model.backbone)
    model.start_stage()
    assert model.stage == 1
    for name, part in prediction_parts(model).named_children():
        copied = getattr(model.teacher.module, name)
        assert equal_states(copied, part)
        pairs = zip(copied.parameters(), part.parameters(), strict=True)
        assert all(a.data_ptr() != b.data_ptr() for a, b in pairs)
    assert hasattr(model.teacher.module, 'neck') == neck


def labelled_by_student(model: nn.Module, images: Tensor) -> Tensor:
    """Label as one would with the student itself in evaluation mode."""
    model.eval()
    with torch.no_grad():
        output = model.forward_student(images)
        distances = model.anchor_bank.distances(output.feat)
        return model.pseudo_label_head.by_anchor(distances)


def test_pseudo_labels_are_those_of_the_stages_first_student():
    model = build(margin=0.02)
    images = torch.randn(2, 3, *tiny.SIZE)
    expected = labelled_by_student(model, images)
    assert 0 < (expected == 255).float().mean() < 1
    model.train()
    with torch.no_grad():
        for parameter in model.backbone.parameters():
            parameter += torch.randn_like(parameter)
    assert torch.equal(model.label_target(images)['anchor'], expected)
    assert not torch.equal(labelled_by_student(model, images), expected)


def test_padding_has_no_label():
    model = build(by=BOTH, margin=0.02, probability=0.0)
    images = torch.randn(2, 3, *tiny.SIZE)
    expected = model.label_target(images)
    labels = model.label_target(images, tiny.padded_samples())
    for kind in BOTH:
        assert (expected[kind][0, -2:] != 255).any()
        expected[kind][0, -2:] = 255  # of 8 at the size of the images
        assert torch.equal(labels[kind], expected[kind])
    data = model.data_preprocessor(tiny.raw_batch(), True)
    whole = model(**data, mode='loss')
    data['data_samples']['target'] = tiny.padded_samples()
    for kind in BOTH:
        name = f'target.active_{kind}'
        assert model(**data, mode='loss')[name] < whole[name]


def stock_checkpoint(path, neck: bool = False) -> nn.Module:
    """Save a stock segmentor whose statistics are not those at birth."""
    stock = MODELS.build(tiny.segmentor(neck=neck))
    batch = dict(
        inputs=tiny.random_images(),
        data_samples=[tiny.random_sample(), tiny.random_sample()],
    )
    stock.train()(**stock.data_preprocessor(batch, True), mode='loss')
    save_checkpoint(dict(state_dict=stock.state_dict()), str(path))
    return stock


@pytest.mark.parametrize('neck', [False, True])
def test_a_stock_checkpoint_loads_strictly(tmp_path, neck):
    path = tmp_path / 'stock.pth'
    stock = stock_checkpoint(path, neck)
    model = build(neck=neck)
    kept = copy.deepcopy(model.anchor_bank)
    load_checkpoint(model, str(path), map_location='cpu', strict=True)
    for name, part in prediction_parts(model).named_children():
        assert equal_states(part, getattr(stock, name))
        assert equal_states(getattr(model.teacher.module, name), part)
    assert equal_states(model.anchor_bank, kept)


@pytest.mark.parametrize('prefix', ['backbone.', 'decode_head.'])
def test_what_a_stock_checkpoint_lacks_is_an_error(tmp_path, prefix):
    path = tmp_path / 'part.pth'
    state = MODELS.build(tiny.segmentor()).state_dict()
    state = {k: v for k, v in state.items() if not k.startswith(prefix)}
    save_checkpoint(dict(state_dict=state), str(path))
    with pytest.raises(RuntimeError, match=f'[Mm]issing.*{prefix}'):
        load_checkpoint(build(), str(path), map_location='cpu', strict=True)


def test_its_own_checkpoint_comes_back_exactly(tmp_path):
    model = build()
    losses_of(model)
    model.stage.fill_(3)
    model.pseudo_label_head.margin.uniform_()
    path = tmp_path / 'cag.pth'
    save_checkpoint(dict(state_dict=model.state_dict()), str(path))
    other = build(anchors=False)
    assert not equal_states(other, model)
    load_checkpoint(other, str(path), map_location='cpu', strict=True)
    assert equal_states(other, model)
    assert not equal_states(other.teacher.module.backbone, other.backbone)


def test_its_checkpoint_serves_the_stock_segmentor(tmp_path):
    model = build()
    path = tmp_path / 'cag.pth'
    save_checkpoint(dict(state_dict=model.state_dict()), str(path))
    stock = MODELS.build(tiny.segmentor())
    load_checkpoint(stock, str(path), map_location='cpu')
    assert equal_states(stock.backbone, model.backbone)
    assert equal_states(stock.decode_head, model.decode_head)


@pytest.mark.parametrize('neck', [False, True])
def test_prediction_is_that_of_the_stock_segmentor(tmp_path, neck):
    path = tmp_path / 'stock.pth'
    stock = stock_checkpoint(path, neck).eval()
    model = build(neck=neck)
    load_checkpoint(model, str(path), map_location='cpu')
    model.eval()
    images = tiny.random_images(1)
    results = []
    for net in (stock, model):
        batch = dict(inputs=images, data_samples=[tiny.random_sample()])
        with torch.no_grad():
            results += net.test_step(batch)
    first, second = results
    assert torch.equal(first.seg_logits.data, second.seg_logits.data)
    assert torch.equal(first.pred_sem_seg.data, second.pred_sem_seg.data)


class Witness(nn.Module):
    """Stands for the anchor loss and keeps what it is given."""

    loss_name = 'loss_witness'

    def __init__(self) -> None:
        super().__init__()
        self.calls = []

    def forward(self, bank, feat, logits, labels) -> Tensor:
        self.calls.append((feat, logits, labels))
        return feat.sum() * 0


@pytest.mark.parametrize('neck', [False, True])
def test_features_are_the_input_of_the_classifier(neck):
    model = build(dropout=0.5, neck=neck)
    model.anchor_loss = Witness()
    losses_of(model)
    assert len(model.anchor_loss.calls) == 2
    for feat, logits, labels in model.anchor_loss.calls:
        assert feat.shape == (2, 8, 8, 16)
        assert labels.shape == (2, 8, 16)
        assert torch.equal(model.decode_head.conv_seg(feat), logits)
    # Dropout takes whole channels, on the way to the classifier.
    dropped = [
        (feat.detach().flatten(2) == 0).all(2).sum().item()
        for feat, _, _ in model.anchor_loss.calls
    ]
    assert sum(dropped) > 8
    with torch.no_grad():
        output = model.eval().forward_student(torch.randn(2, 3, *tiny.SIZE))
    assert (output.feat.flatten(2) == 0).all(2).sum() < sum(dropped)


def test_the_distance_losses_get_the_labels_of_their_domain():
    model = build(margin=0.02)
    model.anchor_loss = Witness()
    batch = model.data_preprocessor(tiny.raw_batch(), True)
    model(**batch, mode='loss')
    source, target = (labels for *_, labels in model.anchor_loss.calls)
    for n, sample in enumerate(batch['data_samples']['source']):
        assert torch.equal(source[n], sample.gt_sem_seg.data[0, ::4, ::4])
    pseudo = model.label_target(batch['inputs']['target'])['anchor']
    assert torch.equal(target, pseudo)
    assert 0 < (target == 255).float().mean() < 1


@pytest.mark.parametrize('anchor_loss', [None, RELEASE])
def test_every_loss_trains_the_student_and_none_the_teacher(anchor_loss):
    model = build(by=BOTH, anchor_loss=anchor_loss)
    losses = {k: v for k, v in losses_of(model).items() if 'loss' in k}
    assert len(losses) == 5
    reached = [
        model.backbone.layers[0].conv.weight,
        model.decode_head.convs[0].conv.weight,
    ]
    for key, loss in losses.items():
        for grad in torch.autograd.grad(loss, reached, retain_graph=True):
            assert grad.any() and grad.isfinite().all(), key
    sum(losses.values()).backward()
    assert all(p.grad is None for p in model.teacher.parameters())
    student = [p for p in prediction_parts(model).parameters()]
    assert all(p.grad is not None for p in student)


@pytest.mark.parametrize('anchor_loss', [None, RELEASE])
def test_finite_where_no_pixel_is_active(anchor_loss):
    model = build(
        by=BOTH, margin=1e9, probability=1.0, anchor_loss=anchor_loss
    )
    losses = losses_of(model)
    for key, value in losses.items():
        if key.startswith('target.'):
            assert value == 0, key
    total = sum(v for k, v in losses.items() if 'loss' in k)
    assert total.isfinite() and total > 0
    total.backward()
    for parameter in model.parameters():
        if parameter.requires_grad:
            assert parameter.grad.isfinite().all()


def test_finite_before_there_is_any_anchor():
    losses = losses_of(build(anchors=False))
    assert all(value.isfinite().all() for value in losses.values())
    assert losses['target.active_anchor'] == 0


@pytest.mark.parametrize('neck', [False, True])
def test_a_plain_batch_cannot_train(neck):
    model = build(neck=neck)
    batch = dict(
        inputs=tiny.random_images(), data_samples=[tiny.random_sample()] * 2
    )
    with pytest.raises(ValueError, match='CAGSegmentor.*UDADataset') as caught:
        model(**model.data_preprocessor(batch, True), mode='loss')
    assert '\n' not in str(caught.value)


def test_a_network_with_a_neck_trains():
    model = build(neck=True)
    losses = losses_of(model)
    sum(v for k, v in losses.items() if 'loss' in k).backward()
    assert all(p.grad is not None for p in model.neck.parameters())
    assert not any(
        p.requires_grad for p in model.teacher.module.neck.parameters()
    )


def test_an_automatic_margin_comes_with_the_anchors():
    assert (
        MODELS.build(tiny.cag(margin='auto'))
        .pseudo_label_head.margin.isinf()
        .all()
    )
    model = build(margin='auto', precision=0.2)
    margin = model.pseudo_label_head.margin
    assert margin.isfinite().all() and (margin == margin[0]).all()
    assert (build(margin=0.5).pseudo_label_head.margin == 0.5).all()


def test_init_weights_leaves_the_teacher_alone():
    model = MODELS.build(tiny.cag())
    teacher = copy.deepcopy(model.teacher)
    model.init_weights()
    assert equal_states(model.teacher, teacher)


def test_frozen_norms_keep_their_statistics_and_the_rest_trains():
    model = MODELS.build({**tiny.cag(), 'norm_eval': True}).train()
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    assert norms and not any(m.training for m in norms)
    assert model.decode_head.training
    before = [m.running_mean.clone() for m in norms]
    losses_of(model)
    after = [m.running_mean for m in norms]
    assert all(map(torch.equal, before, after))
    assert any(
        m.training
        for m in MODELS.build(tiny.cag()).train().modules()
        if isinstance(m, nn.BatchNorm2d)
    )


def test_an_auxiliary_head_learns_from_the_source():
    cfg = tiny.cag()
    cfg.auxiliary_head = {**cfg.decode_head, 'in_index': 0}
    model = MODELS.build(cfg).train()
    losses = losses_of(model)
    losses['source.aux.loss_ce'].backward()
    assert model.auxiliary_head.conv_seg.weight.grad.any()


def test_a_head_without_a_classifier_is_refused():
    cfg = tiny.cag()
    cfg.decode_head = dict(
        type='DLV2Head', in_channels=8, num_classes=19, in_index=0
    )
    with pytest.raises(ValueError, match='DLV2Head has no conv_seg'):
        MODELS.build(cfg)
