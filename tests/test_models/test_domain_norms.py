# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Statistics of batch norms of each domain, in one network."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from mmengine.config import ConfigDict
from mmseg.registry import MODELS
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmseg_cag.engine.checks.check_checkpoint_hook import CheckCheckpointHook
from mmseg_cag.errors import UserError
from mmseg_cag.models.domain_norms import DomainBatchNorm, DomainNorms
from mmseg_cag.models.student import build_student
from tests import tiny

DOMAINS = ['target', 'gta', 'third']
OF_IMAGES = ['gta', 'third', 'gta', 'target', 'third']
METHODS = dict(
    dacs=tiny.dacs,
    daformer=tiny.daformer,
    cag=tiny.cag,
    adversarial=tiny.adversarial,
    clan=tiny.clan,
    anchor_teacher=tiny.anchor_teacher,
    proda=lambda: ConfigDict(tiny.segmentor(), type='ProDASegmentor'),
    supervised=lambda: ConfigDict(
        tiny.segmentor(), type='SupervisedSegmentor'
    ),
    hrda=lambda: tiny.two_scales(tiny.dacs()),
)


def samples(names: list[str | None], labelled: bool = True) -> list:
    found = [tiny.random_sample(labelled) for _ in names]
    for sample, name in zip(found, names, strict=True):
        if name:
            sample.set_metainfo(dict(domain=name))
    return found


def with_domains(model: dict, **settings: object) -> ConfigDict:
    return ConfigDict(model, domain_norms=dict(domains=DOMAINS, **settings))


def norms(model: nn.Module) -> list[DomainBatchNorm]:
    return [m for m in model.modules() if isinstance(m, DomainBatchNorm)]


def one_step(model: nn.Module) -> dict:
    batch = dict(
        source=samples(['gta', 'third', 'gta', 'third']),
        target=samples([None] * 4, labelled=False),
    )
    batch = dict(
        inputs={name: tiny.random_images(4) for name in batch},
        data_samples=batch,
    )
    batch = model.data_preprocessor(batch, True)
    return model(**batch, mode='loss')


@pytest.mark.parametrize('own_affine', [False, True])
@pytest.mark.parametrize('times', [1, 2])
def test_it_is_a_norm_for_each_domain(own_affine, times):
    """Equal to separate modules, in training and in evaluation."""
    network = nn.Sequential(nn.BatchNorm2d(3, momentum=0.3))
    owner = DomainNorms([network], DOMAINS, own_affine=own_affine)
    norm = network[0]
    apart = {name: nn.BatchNorm2d(3, momentum=0.3) for name in DOMAINS}
    for name, other in apart.items():
        held = norm.of_domain[name] if name in norm.of_domain else norm
        affine = held if own_affine else norm
        with torch.no_grad():
            if own_affine or name == 'target':
                affine.weight.uniform_(1, 2), affine.bias.uniform_(1, 2)
            other.weight.copy_(affine.weight), other.bias.copy_(affine.bias)
    for training in (True, True, False):
        network.train(training)
        x = torch.randn(times * 5, 3, 4, 6) * 3 + 1  # windows of each image
        with owner.of('target', samples(OF_IMAGES)):
            found = network(x)
        expected = torch.empty_like(x)
        for name, other in apart.items():
            rows = [i for i, n in enumerate(OF_IMAGES * times) if n == name]
            expected[rows] = other.train(training)(x[rows])
        torch.testing.assert_close(found, expected)
        found.square().sum().backward()
        expected.square().sum().backward()
    for name, other in apart.items():
        held = norm.of_domain[name] if name in norm.of_domain else norm
        for key in ('running_mean', 'running_var', 'num_batches_tracked'):
            torch.testing.assert_close(getattr(held, key), getattr(other, key))
        if own_affine:
            torch.testing.assert_close(held.weight.grad, other.weight.grad)
    if not own_affine:
        total = sum(other.weight.grad for other in apart.values())
        torch.testing.assert_close(norm.weight.grad, total)


def test_the_memory_order_stays():
    network = nn.Sequential(nn.BatchNorm2d(3))
    owner = DomainNorms([network], DOMAINS)
    plain = torch.randn(5, 3, 4, 6)
    for order in (torch.contiguous_format, torch.channels_last):
        met, x = [], plain.to(memory_format=order).requires_grad_()
        handle = network[0].register_forward_hook(
            lambda _, inputs, output, met=met: met.append(output)
        )
        with owner.of('target', samples(OF_IMAGES)):
            found = network(x)
        handle.remove()
        [gradient] = torch.autograd.grad(found.square().sum(), x)
        for one in (found, *met, gradient):
            assert one.is_contiguous(memory_format=order)


def test_without_the_setting_nothing_is_new():
    for method in METHODS.values():
        model = MODELS.build(method())
        assert not norms(model)
        new = MODELS.build(with_domains(method())).state_dict()
        plain = [key for key in new if '.of_domain.' not in key]
        assert plain == list(model.state_dict())


@pytest.mark.parametrize('method', METHODS)
def test_each_method_says_what_its_passes_are_over(method):
    model = MODELS.build(with_domains(METHODS[method]())).train()
    sum(v for k, v in one_step(model).items() if 'loss' in k).backward()
    for norm in norms(nn.ModuleList([model.backbone, model.decode_head])):
        counts = {
            name: int(held.num_batches_tracked)
            for name, held in norm.of_domain.items()
        }
        passes = 2 if method == 'hrda' and norm.num_features == 8 else 1
        assert set(counts.values()) <= {1, passes}, counts
        assert (norm.num_batches_tracked > 0) == (method != 'supervised')
        assert not torch.equal(
            norm.of_domain['gta'].running_mean,
            norm.of_domain['third'].running_mean,
        )
    assert not model.domain_norms.current


def test_a_source_with_one_name_is_called_the_source():
    settings = dict(domains=['target', 'source'])
    model = MODELS.build(ConfigDict(tiny.dacs(), domain_norms=settings))
    one_step(model.train())
    for norm in norms(model.backbone):
        assert norm.of_domain['source'].num_batches_tracked == 1


def test_a_network_of_one_domain_starts_all():
    stock = MODELS.build(tiny.segmentor())
    for module in stock.modules():
        if isinstance(module, _BatchNorm):
            module.running_mean.uniform_(1, 2)
    for method in (tiny.cag, METHODS['hrda']):
        model = MODELS.build(with_domains(method()))
        state = stock.state_dict()
        found = model.load_state_dict(state, strict=False)
        assert not [k for k in found.missing_keys if 'of_domain' in k]
        for norm in (*norms(model), *norms(model.teacher)):
            for held in norm.of_domain.values():
                assert torch.equal(held.running_mean, norm.running_mean)
        runner = SimpleNamespace(
            model=model, _load_from='here', _train_loop=None
        )
        checkpoint = dict(state_dict=stock.state_dict())
        CheckCheckpointHook().after_load_checkpoint(runner, checkpoint)
        assert norms(model.backbone)[0].running_mean.all()


def test_a_teacher_is_told_the_domain_and_follows():
    model = MODELS.build(with_domains(tiny.cag())).eval()
    for norm in norms(model):
        norm.of_domain['third'].running_mean.uniform_(1, 2)
    model.start_stage()
    images = torch.randn(2, 3, *tiny.SIZE)
    outputs = {}
    for name in ('gta', 'third'):
        with model.statistics_of('source', samples([name] * 2)):
            outputs[name] = model.teacher(images).logits[0]
            student = model.forward_student(images, auxiliary=False)
        assert torch.equal(outputs[name], student.logits[0])
    assert not torch.allclose(outputs['gta'], outputs['third'])


@torch.no_grad()
@pytest.mark.parametrize('predict', [None, 'third'])
def test_exported_it_is_a_stock_network_of_the_named_domain(predict):
    cfg = with_domains(tiny.dacs(), predict=predict)
    model = MODELS.build(cfg).train()
    one_step(model)
    model.eval()
    images = torch.randn(2, 3, *tiny.SIZE)
    unnamed, named = samples([None] * 2), samples(['gta'] * 2)
    found = model(images, unnamed, mode='predict')
    student = build_student(cfg, model.state_dict(), 'here')
    assert type(student).__name__ == 'EncoderDecoder'
    assert student.state_dict().keys() == (
        MODELS.build(tiny.segmentor()).state_dict().keys()
    )
    expected = student(images, samples([None] * 2), mode='predict')
    others = model(images, named, mode='predict')
    for own, stock, other in zip(found, expected, others, strict=True):
        assert torch.equal(own.seg_logits.data, stock.seg_logits.data)
        assert not torch.equal(own.seg_logits.data, other.seg_logits.data)


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (dict(domains=[]), r'domains=\[\], expected a name'),
        (dict(domains=['gta', 'gta']), 'of each domain, once'),
        (dict(domains=['gta'], predict='acdc'), "predict='acdc', expected"),
    ],
)
def test_settings_that_are_refused(settings, message):
    with pytest.raises(UserError, match=message):
        MODELS.build(ConfigDict(tiny.dacs(), domain_norms=settings))


class BatchNormAct2d(nn.BatchNorm2d):
    """As timm's: a norm, then its activation."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x).relu()


def test_layers_that_are_refused():
    again = nn.Sequential(nn.BatchNorm2d(3))
    again.with_cp = True
    for network, message in (
        (nn.Sequential(nn.SyncBatchNorm(3)), 'is a SyncBN, expected BN'),
        (again, 'expected with_cp=False'),
        (nn.Sequential(BatchNormAct2d(3)), 'is a BatchNormAct2d, which comp'),
    ):
        with pytest.raises(UserError, match=message):
            DomainNorms([network], DOMAINS)


def test_an_unknown_domain_is_refused():
    settings = dict(domains=['target', 'gta'])
    model = MODELS.build(ConfigDict(tiny.dacs(), domain_norms=settings))
    with pytest.raises(UserError, match='has no third, of which images are'):
        one_step(model.train())


def test_a_checkpoint_without_the_predicted_domain_is_refused():
    state = MODELS.build(tiny.dacs()).state_dict()
    cfg = with_domains(tiny.dacs(), predict='gta')
    with pytest.raises(UserError, match='predict=gta: the checkpoint has no'):
        build_student(cfg, state, 'here')
