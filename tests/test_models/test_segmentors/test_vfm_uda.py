# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Steps of VFM-UDA and VFM-UDA++ against those of the releases."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from mmengine.optim import build_optim_wrapper
from mmengine.structures import PixelData
from mmseg.registry import MODELS, PARAM_SCHEDULERS
from mmseg.structures import SegDataSample

from mmseg_cag.errors import UserError
from mmseg_cag.models.losses.feature_alignment import FeatureAlignment
from mmseg_cag.models.losses.feature_distance import (
    FeatureDistance,
    majority_labels,
)
from mmseg_cag.models.masking import (
    BLOCK,
    draw_hidden,
    mask_cells,
    masked,
    patch_mask,
)
from mmseg_cag.models.mixing import LABELS, class_mask
from mmseg_cag.models.segmentors import vfm_uda
from mmseg_cag.models.segmentors.daformer import FixedNetwork
from tests import tiny
from tests.test_models.test_backbones.test_dinov2 import Golden, assert_near
from tests.test_models.test_backbones.test_vit_adapter import load, part

MEAN, STD = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]
ARCH = dict(dim=48, depth=3, heads=3)


def config(kind: str, backbone: dict, head: str, **kwargs) -> dict:
    return dict(
        type=kind,
        data_preprocessor=tiny.preprocessor(MEAN, STD),
        backbone=backbone,
        decode_head=dict(
            type=head,
            in_channels=backbone['arch']['dim'],
            num_classes=19,
            align_corners=False,
            loss_decode=dict(type='CrossEntropyLoss', avg_non_ignore=True),
        ),
        teacher=dict(type='Teacher', momentum=0.001, mirror=True),
        train_cfg=dict(),
        test_cfg=dict(mode='whole'),
        **kwargs,
    )


def tiny_vfm(**kwargs) -> dict:
    backbone = dict(
        type='DINOv2', arch=ARCH, pretrain_size=98, resize=1.1, masked=True
    )
    backbone |= kwargs.pop('backbone', {})
    return config('VFMUDASegmentor', backbone, 'VFMUDAHead', **kwargs)


def tiny_plus(golden: Golden) -> dict:
    meta = golden.meta
    sizes = {'dim': 'embed_dim', 'depth': 'depth', 'heads': 'num_heads'}
    frozen = meta['frozen']
    return config(
        'VFMUDAPlusSegmentor',
        dict(
            type='ViTAdapter',
            arch={own: meta[key] for own, key in sizes.items()},
            pretrain_size=meta['pos_grid'] * meta['patch_size'],
            prior_channels=meta['conv_inplane'],
            resize=(224, 224),
        ),
        'VFMUDAPlusHead',
        encoder=dict(
            type='DINOv2',
            arch={own: frozen[key] for own, key in sizes.items()},
            pretrain_size=frozen['pos_grid'] * 14,
            registers=4,
            resize=(406, 406),
        ),
    )


class Step:
    """A step of a release: what it had, drew and came to."""

    def __init__(self, golden: Golden, prefix: str = '') -> None:
        self.golden, self.prefix = golden, prefix

    def __getitem__(self, key: str) -> torch.Tensor:
        return self.golden[self.prefix + key]

    def has(self, key: str) -> bool:
        return self.prefix + key in self.golden.values.files

    def part(self, prefix: str) -> dict[str, torch.Tensor]:
        return part(self.golden, self.prefix + prefix)

    def batch(self) -> tuple[dict, dict]:
        """Its images, normalised and mirrored, and their samples."""
        inputs, samples = {}, {}
        for domain in ('source', 'target'):
            images = self[f'{domain}/uint8'].float() / 255
            flips = self[f'{domain}/flip'].expand(len(images))
            inputs[domain] = normalised(mirrored(images, flips))
            samples[domain] = [SegDataSample() for _ in images]
        flips = self['source/flip'].expand(len(images))
        labels = mirrored(self['source/label'].long(), flips)
        for sample, label in zip(samples['source'], labels, strict=True):
            sample.gt_sem_seg = PixelData(data=label[None])
        ignored = self['target/ignore_mask']
        for sample, mask in zip(samples['target'], ignored, strict=True):
            sample.trusted = PixelData(data=(mask != 255)[None].long())
        return inputs, samples

    def views(self) -> list[torch.Tensor]:
        """Its views in the order in which they are drawn here."""
        if self.has('input/source'):
            names = ('source', 'fd_target', 'mix', 'masked', 'fd_source')
            return [self[f'input/{name}'] for name in names]
        names = 'source/weak', 'target/weak', 'mix/image', 'masked/image'
        return [normalised(self[name]) for name in names]

    def preference(self) -> torch.Tensor:
        """Numbers of which those of the chosen classes are the smallest."""
        drawn = torch.ones(2, LABELS)
        for row, classes in zip(drawn, self['mix/classes'], strict=True):
            row[classes[classes >= 0]] = 0
        return drawn


def mirrored(values: torch.Tensor, flips: torch.Tensor) -> torch.Tensor:
    return torch.stack(
        [
            value.flip(-1) if flip else value
            for value, flip in zip(values, flips.tolist(), strict=True)
        ]
    )


def normalised(images: torch.Tensor) -> torch.Tensor:
    mean, std = (
        torch.tensor(values).view(3, 1, 1) / 255 for values in (MEAN, STD)
    )
    return (images - mean) / std


def train_step(model, step: Step, monkeypatch) -> tuple[dict, dict]:
    """Take its losses by its draws; what was seen on the way."""
    views, seen = iter(step.views()), {}
    monkeypatch.setattr(vfm_uda, 'view_images', lambda *_: next(views))
    monkeypatch.setattr(vfm_uda, 'draw_classes', lambda *_: step.preference())
    drawn = step['masked/rand']
    if drawn.dim() == 4:
        drawn = drawn[:, 0]
    monkeypatch.setattr(vfm_uda, 'draw_hidden', lambda *_: drawn)
    paste = vfm_uda.paste

    def keep(*given):
        seen['target'], seen['mixed'] = given[1], paste(*given)
        return seen['mixed']

    monkeypatch.setattr(vfm_uda, 'paste', keep)
    losses = model.loss(*step.batch())
    assert next(views, None) is None
    return losses, seen


def own_name(name: str, plus: bool) -> str:
    """The name here of a parameter of the release."""
    head = 'decode_head.' if plus else 'decode_head.upscale.'
    for old, new in {
        'encoder.': 'backbone.',
        'upscale.': head,
        'out.': 'decode_head.conv_seg.',
        'network_feature_head.feat_project.': 'alignment.projection.',
    }.items():
        if name.startswith(old):
            return new + name.removeprefix(old)
    raise AssertionError(name)


def optimizers(model, golden: Golden) -> tuple:
    """The optimizer and the schedule of a release."""
    meta = golden.meta
    images = meta['batch_size'] * meta['num_devices']
    wrapper = build_optim_wrapper(
        model,
        dict(
            constructor='EncoderOptimWrapperConstructor',
            type='OptimWrapper',
            optimizer=dict(
                type='AdamW',
                lr=meta['lr'] * images**0.5,
                weight_decay=meta['weight_decay'],
            ),
            paramwise_cfg=dict(
                encoder_mult=meta['lr_multiplier'],
                layer_decay=meta['layerwise_lr_decay'],
            ),
        ),
    )
    schedule = PARAM_SCHEDULERS.build(
        dict(
            type='PolyRestartLR',
            optimizer=wrapper.optimizer,
            power=1.0,
            warmup_iters=meta['warmup_iters'],
            warmup_from=0.001,
            end=meta['max_steps'],
            by_epoch=False,
        )
    )
    return wrapper.optimizer, schedule


def check_step(model, step: Step, optimizer, schedule, monkeypatch) -> dict:
    """Take a step and compare all of it; the losses."""
    plus = hasattr(model, 'alignment')
    losses, seen = train_step(model, step, monkeypatch)
    label = step['pseudo/label'].long()
    assert torch.equal(seen['target'].labels, label)
    weight = step['pseudo/weight'].expand(label.shape)
    weight = weight.masked_fill(step['pseudo/weight_is_zero'], 0)
    assert_near(seen['target'].weight, weight)
    mixed = step['mix/label'][:, 0].long()
    assert torch.equal(seen['mixed'].labels, mixed)
    if step.has('mix/image_before_strong'):
        before = normalised(step['mix/image_before_strong'])
        assert_near(seen['mixed'].images, before)
    for name, key in {
        'source.loss_ce': 'train_loss_source',
        'mix.loss_ce': 'train_loss_mix',
        'masked.loss_ce': 'loss_masked',
    }.items():
        assert_near(losses[name], step[f'loss/{key}'])
    optimizer.zero_grad()
    sum(v for k, v in losses.items() if 'loss' in k).backward()
    for name, value in step.part('grad/').items():
        own = model.get_parameter(own_name(name, plus)).grad
        if value.abs().max() > 1e-6:
            assert_near(own, value)
        else:  # what a batch norm takes away again: noise
            assert own.abs().max() < 1e-5
    optimizer.step()
    schedule.step()
    rates = sorted({group['lr'] for group in optimizer.param_groups})
    expected = sorted(set(step['lr_next'].tolist()))
    assert rates == pytest.approx(expected, rel=1e-6)
    for name, value in step.part('after/').items():
        if not name.endswith('running_mean'):
            assert_near(model.get_parameter(own_name(name, plus)).data, value)
    return losses


def check_average(model, step: Step) -> None:
    """Compare the teacher as the next step will begin with it."""
    type(model.teacher).update_parameters(model.teacher, model)
    plus = hasattr(model, 'alignment')
    for name, value in step.part('ema/').items():
        own = model.teacher.module.get_parameter(own_name(name, plus))
        assert_near(own.data, value)


def begin(model, monkeypatch) -> None:
    """Make the teacher a copy, and leave its updates to `check_average`."""
    model.train()
    model.teacher.update_parameters(model)
    monkeypatch.setattr(model.teacher, 'update_parameters', lambda _: None)


def test_two_steps_of_vfm_uda(monkeypatch):
    golden = Golden('vfmuda_step')
    model = load(MODELS.build(tiny_vfm()), golden)
    optimizer, schedule = optimizers(model, golden)
    begin(model, monkeypatch)
    for name in ('step0/', 'step1/'):
        step = Step(golden, name)
        check_step(model, step, optimizer, schedule, monkeypatch)
        check_average(model, step)


def test_a_step_with_the_feature_distance(monkeypatch):
    golden = Golden('vfmuda_fd_step')
    things = [6, 7, *range(11, 19)]
    cfg = tiny_vfm(
        feature_distance=dict(type='FeatureDistance', things=things, cell=14)
    )
    cfg['teacher']['mirror'] = False
    model = load(MODELS.build(cfg), golden)
    optimizer, schedule = optimizers(model, golden)
    begin(model, monkeypatch)
    # The teacher and the network of the start are of other weights.
    weights = part(golden, 'w_frozen/')
    monkeypatch.setattr(Golden, 'weights', weights)
    other = load(MODELS.build(tiny_vfm()), golden)
    model.teacher.module.load_state_dict(
        {
            key: value
            for key, value in other.state_dict().items()
            if not key.startswith('teacher.')
        }
    )
    model.start.network.load_state_dict(other.backbone.state_dict())
    step = Step(golden, 'step0/')
    losses = check_step(model, step, optimizer, schedule, monkeypatch)
    assert_near(
        losses['source.loss_feature_distance'], step['loss/train_loss_fdist']
    )
    source = normalised(step['source/weak'])
    assert_near(model.start_features(source), step['feature/frozen'])
    check_average(model, step)


def test_a_step_of_vfm_uda_plus(monkeypatch):
    golden = Golden('vfmudapp_step')
    model = load(MODELS.build(tiny_plus(golden)), golden)
    model.alignment.projection.load_state_dict(
        part(golden, 'w/network_feature_head.feat_project.')
    )
    model.frozen.network.load_state_dict(part(golden, 'w_frozen/'))
    optimizer, schedule = optimizers(model, golden)
    begin(model, monkeypatch)
    step = Step(golden)
    losses = check_step(model, step, optimizer, schedule, monkeypatch)
    aligned = losses['source.loss_alignment'] + losses['target.loss_alignment']
    assert_near(aligned, step['loss/train_loss_fdist'])
    for owner, key in ((model, 'student'), (model.teacher.module, 'teacher')):
        expected = step[f'after/{key}_norm4_running_mean']
        assert_near(owner.backbone.norm4.running_mean, expected)
    check_average(model, step)


def test_the_alignment_is_that_of_the_release():
    golden = Golden('vfmudapp_small')
    loss = FeatureAlignment(16, 24, loss_weight=1.0)
    loss.projection.load_state_dict(part(golden, 'distill/w/feat_project.'))
    features = golden['distill/feature'].requires_grad_()
    others = golden['distill/frozen']
    assert_near(loss.project(features, others), golden['distill/projected'])
    found = loss(features, others)
    assert_near(found, golden['distill/loss'])
    found.backward()
    assert_near(features.grad, golden['distill/grad_feature'])
    bias = loss.projection[0].bias.grad
    assert_near(bias, golden['distill/grad_first_bias'])


def test_what_the_frozen_encoder_sees():
    golden = Golden('vfmudapp_small')
    encoder = MODELS.build(
        dict(
            type='DINOv2',
            arch=dict(dim=48, depth=2, heads=3),
            pretrain_size=98,
            registers=4,
            resize=(406, 406),
        )
    )
    weights = part(golden, 'frozen/w/')
    encoder.load_state_dict(weights)
    frozen = FixedNetwork(encoder).train()
    assert not frozen.training and not list(frozen.parameters())
    maps = frozen(golden['frozen/image'])[-1]
    expected = golden['frozen/features_every_4th']
    assert_near(maps[..., ::4, ::4], expected)


@pytest.mark.parametrize('side', [160, 224, 1120])
def test_blocks_are_those_of_the_release(side):
    golden = Golden('vfmudapp_small')
    drawn = golden[f'block/{side}/rand']
    kept = patch_mask(drawn, (side, side), 0.7)
    assert torch.equal(kept, golden[f'block/{side}/mask'].bool())
    assert mask_cells((side, side), BLOCK) == drawn.shape[2:]


def test_classes_are_mixed_as_released():
    golden = Golden('vfmuda_small')
    labels = golden['mix/labels'].long()
    preference = torch.ones(len(labels), LABELS)
    unique = golden['mix/unique'].long()
    for row, choice in zip(preference, golden['mix/choice'], strict=True):
        row[unique[choice.long()]] = 0
    masks = golden['mix/masks'][:, 0].bool()
    assert torch.equal(class_mask(labels, preference), masks)


def test_cells_of_14_pixels_are_those_of_the_release():
    golden = Golden('vfmuda_small')
    labels = golden['fd/label70'].long()
    found = majority_labels(labels, (5, 5), 19)
    assert torch.equal(found, golden['fd/label5'][:, 0].long())


def test_labels_are_brought_to_the_cells():
    labels = torch.full((1, 4, 4), 3)
    labels[:, :2] = 7
    loss = FeatureDistance(19, things=[7], cell=14)
    cells = loss.mask(labels, (2, 2))
    assert cells.tolist() == [[[True, True], [False, False]]]


def test_a_mirror_teacher_averages_probabilities():
    model = MODELS.build(tiny_vfm())
    model.init_weights()
    images = torch.randn(2, 3, 28, 42)
    model.teacher.update_parameters(model)
    scores = model.teacher(images).logits[0]
    expected = 0
    for flip in (False, True):
        seen = images.flip(3) if flip else images
        logits = model.forward_student(seen, auxiliary=False).logits[0]
        logits = F.interpolate(logits, (28, 42), mode='bilinear')
        probability = logits.softmax(1).detach()
        expected += probability.flip(3) if flip else probability
    assert torch.allclose(scores.softmax(1), expected / 2, atol=1e-6)


def test_each_image_has_a_mask_of_its_own():
    model = MODELS.build(tiny_vfm())
    model.init_weights()
    torch.nn.init.constant_(model.backbone.mask_token, 3.0)
    images = torch.randn(2, 3, 28, 42)
    generator = torch.Generator().manual_seed(0)
    drawn = draw_hidden(model.backbone, images, generator)
    assert drawn.shape == (2, 2 * 3)
    assert not torch.equal(drawn[0], drawn[1])
    plain = model.backbone(images)[-1]
    with masked(model.backbone, torch.zeros_like(drawn, dtype=torch.bool)):
        assert torch.equal(model.backbone(images)[-1], plain)
    hidden = torch.zeros_like(drawn, dtype=torch.bool)
    hidden[1, 0] = True
    with masked(model.backbone, hidden):
        seen = model.backbone(images)[-1]
    assert torch.equal(seen[0], plain[0])
    assert not torch.allclose(seen[1], plain[1])
    assert torch.equal(model.backbone(images)[-1], plain)


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (dict(mask_ratio=1.0), 'mask_ratio=1.0, expected a share'),
        (dict(backbone=dict(masked=False)), 'backbone.masked=True'),
        (dict(source_view='dark'), "source_view='dark', expected one of"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings, message):
    with pytest.raises(UserError, match=message):
        MODELS.build(tiny_vfm(**settings))


def test_a_backbone_without_patches_is_refused():
    cfg = dict(tiny.segmentor(), type='VFMUDASegmentor')
    with pytest.raises(UserError, match='TinyBackbone cannot hide patches'):
        MODELS.build(cfg)
