# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Statistics of batch norms, estimated on the target."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from mmseg.registry import HOOKS, MODELS
from torch import nn
from torch.optim.swa_utils import update_bn

from mmseg_cag.engine.records.descent import read_descent
from mmseg_cag.engine.runtime.norm_statistics import (
    build_target_loader,
    estimate_statistics,
    norms_of,
    reestimated_checkpoint,
    target_loader,
)
from mmseg_cag.errors import UserError
from mmseg_cag.inference.export_student import predict_as
from mmseg_cag.models.domain_norms import OF_DOMAIN
from mmseg_cag.models.student import PARTS, build_student
from tests import tiny
from tests.test_distributed import train_two

TOOL = Path(__file__).parents[2] / 'tools/model_converters/reestimate_norm.py'


def network(**kwargs) -> nn.Module:
    torch.manual_seed(0)
    model = MODELS.build(tiny.segmentor(**kwargs))
    model.init_weights()
    return model


def batches(model: nn.Module, sizes=(2, 2, 1)) -> list[dict]:
    torch.manual_seed(1)
    return [
        model.data_preprocessor(
            dict(
                inputs=tiny.random_images(size),
                data_samples=[tiny.random_sample(False) for _ in range(size)],
            ),
            False,
        )
        for size in sizes
    ]


def statistics(model: nn.Module) -> dict[str, torch.Tensor]:
    return {
        f'{name}.{key}': value.clone()
        for name, norm in norms_of(model).items()
        for key, value in norm.named_buffers()
    }


def test_the_statistics_are_those_of_update_bn():
    model, other = network(dropout=0), network(dropout=0)
    data = batches(model)
    estimate_statistics(model, data)
    update_bn([batch['inputs'] for batch in data], other)
    expected = statistics(other)
    for key, value in statistics(model).items():
        torch.testing.assert_close(value, expected[key], msg=key)


def test_modes_and_momentum_stay_and_dropout_is_off():
    model = network(dropout=0.9).train()
    model.decode_head.convs[0].bn.eval()
    modes = [module.training for module in model.modules()]
    estimate_statistics(model, batches(model))
    assert [module.training for module in model.modules()] == modes
    assert all(norm.momentum == 0.1 for norm in norms_of(model).values())
    first = statistics(model)
    estimate_statistics(model, batches(model))
    assert all(torch.equal(first[k], v) for k, v in statistics(model).items())


def test_a_norm_that_no_batch_passes_keeps_its_statistics():
    model = network()
    model.backbone.unused = nn.BatchNorm2d(3)
    model.backbone.unused.running_mean.fill_(7)
    model.discriminators = nn.BatchNorm2d(3)
    assert len(norms_of(model)) == 4
    estimate_statistics(model, batches(model))
    assert model.backbone.unused.running_mean.eq(7).all()


def test_no_image_and_a_batch_that_is_too_small_are_refused():
    model = network()
    with pytest.raises(UserError, match='the target has no images'):
        estimate_statistics(model, [])
    pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.BatchNorm2d(8))
    model.backbone.layers.append(pool)
    with pytest.raises(UserError, match='val_dataloader.batch_size'):
        estimate_statistics(model, batches(model, [1]))


def config(root: Path, name: str, **hook) -> Config:
    cfg = tiny.adversarial_run(root, root / name, tiny.dacs())
    cfg.model.norm_eval = True
    cfg.optim_wrapper = dict(
        type='OptimWrapper', optimizer=dict(type='AdamW', lr=1e-2)
    )
    cfg.test_dataloader = cfg.val_dataloader
    cfg.test_evaluator = cfg.val_evaluator
    cfg.test_cfg = dict(type='TestLoop')
    cfg.default_hooks.norm_statistics = dict(type='NormStatisticsHook', **hook)
    return cfg


def expected_of(
    cfg: Config, state: dict, images: int | None = None
) -> dict[str, torch.Tensor]:
    """What one process finds for the student of a checkpoint."""
    model = MODELS.build(tiny.segmentor())
    own = model.state_dict().keys()
    model.load_state_dict({k: v for k, v in state.items() if k in own})
    loader = build_target_loader(cfg, model, images=images)
    assert len(loader.dataset) == (images or 5)
    data = [model.data_preprocessor(batch, False) for batch in loader]
    estimate_statistics(model, data)
    return statistics(model)


def test_a_run_begins_and_ends_by_the_target(tmp_path):
    tiny.write_towns(tmp_path)
    cfg = config(tmp_path, 'run')
    runner = Runner.from_cfg(cfg)
    begun = {}
    runner.register_hook(
        HOOKS.build(dict(type='KeepStartHook', kept=begun)), 'LOWEST'
    )
    runner.train()
    start = expected_of(cfg, begun)
    for name, value in start.items():
        torch.testing.assert_close(begun[name], value)
        teacher = begun[f'teacher.module.{name}']
        torch.testing.assert_close(teacher, value)
    path = tmp_path / 'run' / 'iter_6.pth'
    state = torch.load(path, weights_only=False)['state_dict']
    for name, value in expected_of(cfg, state).items():
        torch.testing.assert_close(state[name], value)
    mark = 'teacher.module.'
    own = {k.removeprefix(mark): v for k, v in state.items() if mark in k}
    for name, value in expected_of(cfg, own).items():
        torch.testing.assert_close(own[name], value)
    between = tmp_path / 'run' / 'iter_5.pth'
    state = torch.load(between, weights_only=False)['state_dict']
    # Kept statistics are still those of the start.
    assert all(torch.equal(state[name], begun[name]) for name in start)


@HOOKS.register_module()
class KeepStartHook(HOOKS.get('StepSeedHook')):
    """Keep the weights that the first step sees."""

    def __init__(self, kept: dict) -> None:
        self.kept = kept

    def before_train_iter(self, runner, batch_idx, **_) -> None:
        if batch_idx == 0:
            state = runner.model.state_dict()
            self.kept.update({k: v.clone() for k, v in state.items()})


def test_a_resumed_run_has_the_same_weights(tmp_path):
    tiny.write_towns(tmp_path)
    weights = []
    for name, resume in (('whole', False), ('again', True)):
        cfg = config(tmp_path, name, interval=2, images=3)
        if resume:
            cfg.update(
                resume=True, load_from=str(tmp_path / 'whole/iter_3.pth')
            )
        runner = Runner.from_cfg(cfg)
        runner.train()
        weights.append(runner.model.state_dict())
    for key, value in weights[0].items():
        assert torch.equal(weights[1][key], value), key


@pytest.mark.long
def test_two_processes_estimate_what_one_does(tmp_path):
    tiny.write_towns(tmp_path)
    torch.manual_seed(8)
    stock = MODELS.build(tiny.segmentor())
    torch.save({'state_dict': stock.state_dict()}, tmp_path / 'warm.pth')
    cfg = config(tmp_path, 'two', images=3)
    cfg.load_from = str(tmp_path / 'warm.pth')
    cfg.train_cfg.update(max_iters=1, val_interval=1)
    # One image a batch: as many batches however they are shared out.
    cfg.test_dataloader = dict(cfg.val_dataloader, batch_size=1)
    cfg.custom_hooks.append(dict(type='KeepRankHook'))
    train_two(tmp_path, cfg)
    expected = expected_of(cfg, stock.state_dict(), 3)
    ranks = [
        torch.load(tmp_path / 'two' / f'rank{rank}_1.pth')['state_dict']
        for rank in (0, 1)
    ]
    for key in expected:
        first = ranks[0][key]
        assert torch.equal(first, ranks[1][key])
    saved = torch.load(tmp_path / 'two/iter_1.pth', weights_only=False)
    state = saved['state_dict']
    for name, value in expected_of(cfg, state, 3).items():
        torch.testing.assert_close(state[name], value)


def test_the_command_changes_the_statistics_alone(tmp_path, monkeypatch):
    tiny.write_towns(tmp_path)
    cfg = config(tmp_path, 'run')
    # As source-only has it: no domains.
    cfg.target_dataset = cfg.train_dataloader.dataset.domains.target
    cfg.train_dataloader.dataset = tiny.gta(tmp_path)
    cfg.model = tiny.segmentor()
    cfg.dump(tmp_path / 'run.py')
    model = network()
    src, dst = tmp_path / 'src.pth', tmp_path / 'dst.pth'
    torch.save({'meta': {'iter': 3}, 'state_dict': model.state_dict()}, src)
    arguments = [TOOL.name, tmp_path / 'run.py', src, dst]
    monkeypatch.setattr('sys.argv', [*map(str, arguments)])
    runpy.run_path(str(TOOL), run_name='__main__')
    written = torch.load(dst, weights_only=False)
    assert written['meta']['iter'] == 3
    chain = {one['used_as']: one['name'] for one in read_descent(dst)}
    assert chain == {
        're-estimated from': 'src.pth',
        'statistics of the target': 'Cityscapes',
    }
    expected = expected_of(cfg, model.state_dict())
    for key, value in model.state_dict().items():
        actual = written['state_dict'][key]
        torch.testing.assert_close(actual, expected.get(key, value), msg=key)


def test_no_label_of_the_target_is_read():
    cfg = Config.fromfile(TOOL.parents[2] / 'configs/minitown/bdl_ssl.py')
    images = target_loader(cfg)['dataset']
    assert set(images['data_prefix']) == {'img_path'}
    assert not any('Label' in step['type'] for step in images['pipeline'])


@pytest.mark.parametrize('interval', [0, 1.5, 'often'])
def test_an_interval_that_is_none(interval):
    with pytest.raises(UserError, match='interval=.*whole number from 1'):
        HOOKS.build(dict(type='NormStatisticsHook', interval=interval))


@pytest.mark.parametrize('images', [0, 2.5])
def test_a_number_of_images_that_is_none(images):
    with pytest.raises(UserError, match='images=.*whole number from 1'):
        HOOKS.build(dict(type='NormStatisticsHook', images=images))


def test_at_most_so_many_images_evenly_spaced(tmp_path):
    tiny.write_towns(tmp_path)
    cfg = config(tmp_path, 'run')
    adapt_to_day_and_night(cfg, tmp_path)  # five images, and two

    def paths(images: int | None) -> list[str]:
        loader = build_target_loader(cfg, network(), images=images)
        return [
            sample.img_path
            for batch in loader
            for sample in batch['data_samples']
        ]

    every = paths(None)
    assert paths(3) == every[::3]
    assert paths(7) == paths(500) == every and len(every) == 7


def test_a_run_estimates_on_its_number_of_images(tmp_path):
    tiny.write_towns(tmp_path)
    cfg = config(tmp_path, 'run', images=2)
    cfg.train_cfg.update(max_iters=1, val_interval=1)
    Runner.from_cfg(cfg).train()
    saved = torch.load(tmp_path / 'run/iter_1.pth', weights_only=False)
    state = saved['state_dict']
    for mark in ('', 'teacher.module.'):
        own = {k.removeprefix(mark): v for k, v in state.items() if mark in k}
        for name, value in expected_of(cfg, own, 2).items():
            torch.testing.assert_close(own[name], value)


def test_a_config_without_a_target(tmp_path):
    cfg = config(tmp_path, 'run')
    cfg.train_dataloader.dataset = tiny.gta(tmp_path)
    with pytest.raises(UserError, match='domains.target is missing'):
        target_loader(cfg)


def adapt_to_day_and_night(cfg: Config, root: Path) -> dict[str, dict]:
    """Make a pool of two the target; returns its members."""
    domains = cfg.train_dataloader.dataset.domains
    night = {**tiny.cityscapes(root, 'val'), 'test_mode': False}
    members = dict(day=domains.target, night=night)
    domains.target = dict(type='DomainPool', members=members)
    return members


def test_several_targets_or_one_of_them(tmp_path):
    tiny.write_towns(tmp_path)
    cfg = config(tmp_path, 'run')
    members = adapt_to_day_and_night(cfg, tmp_path)
    cfg.model = tiny.segmentor()
    sizes = [
        len(build_target_loader(cfg, network(), domain=domain).dataset)
        for domain in (None, 'day', 'night')
    ]
    assert sizes == [7, 5, 2]
    images = target_loader(cfg, 'night')['dataset']
    assert set(images['data_prefix']) == {'img_path'}
    with pytest.raises(UserError, match='no domain fog, expected one of'):
        target_loader(cfg, 'fog')
    # As that domain alone would have it.
    path = tmp_path / 'src.pth'
    torch.save({'state_dict': network().state_dict()}, path)
    found = reestimated_checkpoint(cfg, path, 'night')['state_dict']
    cfg.train_dataloader.dataset.domains.target = members['night']
    expected = reestimated_checkpoint(cfg, path)['state_dict']
    assert all(torch.equal(found[key], expected[key]) for key in found)


@pytest.mark.parametrize(
    ('predict', 'domain', 'expected'),
    [
        (None, None, 'source'),  # the first
        ('target', None, 'target'),
        ('target', 'night', 'night'),
        ('target', 'day', 'target'),
    ],
)
def test_the_statistics_of_one_domain(tmp_path, predict, domain, expected):
    """What is exported afterwards is the network that was estimated."""
    tiny.write_towns(tmp_path)
    cfg = config(tmp_path, 'run')
    adapt_to_day_and_night(cfg, tmp_path)
    cfg.model.domain_norms = dict(
        domains=['source', 'target', 'night'], predict=predict
    )
    model = MODELS.build(cfg.model)
    for name, value in model.named_buffers():
        if 'running_' in name:
            value.uniform_(1, 2)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    path = tmp_path / 'run.pth'
    torch.save({'state_dict': before}, path)
    found = reestimated_checkpoint(cfg, path, domain)['state_dict']
    assert found.keys() == before.keys()
    for key in [k for k in before if not torch.equal(found[k], before[k])]:
        of_domain = OF_DOMAIN.search(key)
        assert key.split('.')[0] in PARTS
        assert (of_domain[1] if of_domain else 'source') == expected
    predict_as(cfg, expected)
    student = build_student(cfg.model, before, path)
    loader = build_target_loader(cfg, student, domain=domain)
    data = [model.data_preprocessor(batch, False) for batch in loader]
    estimate_statistics(student, data)
    exported = build_student(cfg.model, found, path).state_dict()
    for key, value in student.state_dict().items():
        assert torch.equal(exported[key], value), key
    if domain is None:  # as the hook does, in the run's own network
        estimate_statistics(model, data)
        for key, value in model.state_dict().items():
            torch.testing.assert_close(value, found[key], msg=key)
