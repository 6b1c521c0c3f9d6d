# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import copy

import pytest
import torch
from mmengine.config import Config, ConfigDict
from mmengine.runner import Runner
from mmseg.registry import MODELS
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, interpolate

from mmseg_cag.errors import UserError
from mmseg_cag.models import masking
from tests import tiny


def mic(**settings) -> ConfigDict:
    return ConfigDict(
        tiny.dacs(), type='MICSegmentor', masking=dict(block=8, **settings)
    )


def build(threshold: float = 0.055, **settings) -> nn.Module:
    torch.manual_seed(0)
    model = MODELS.build(dict(mic(**settings), threshold=threshold))
    model.init_weights()
    return model.train()


def losses_of(model: nn.Module, seed: int = 2) -> dict[str, Tensor]:
    torch.manual_seed(1)
    data = model.data_preprocessor(tiny.raw_batch(), True)
    torch.manual_seed(seed)
    return model(**data, mode='loss')


def test_the_loss_by_the_steps_of_the_paper(monkeypatch):
    """All pixels are labelled as the teacher labels the whole image."""
    model = build(mode='separatetrg')
    drawn = torch.rand(2, 1, tiny.SIZE[0] // 8, tiny.SIZE[1] // 8)
    monkeypatch.setattr(masking, 'draw_mask', lambda *_: drawn)
    labelled, seen = [], []
    label_target = model.label_target
    model.label_target = lambda *given: (
        labelled.append(label_target(*given)) or labelled[0]
    )
    model.backbone.register_forward_pre_hook(
        lambda _, inputs: seen.append(inputs[0])
    )
    student = copy.deepcopy(model.decode_head), copy.deepcopy(model.backbone)
    losses = losses_of(model)
    assert {'source.loss_ce', 'mix.loss_ce', 'masked.loss_ce'} <= losses.keys()

    [target] = labelled
    mask = interpolate(drawn, tiny.SIZE, mode='nearest') > 0.7
    images = torch.where(mask, target.images, 0.0)
    assert torch.equal(seen[2], images) and len(seen) == 3
    head, backbone = student
    head.dropout = None  # what it draws depends on the passes before
    model.decode_head.dropout = None
    logits = interpolate(head(backbone(images)), tiny.SIZE, mode='bilinear')
    pixels = cross_entropy(
        logits, target.labels, ignore_index=255, reduction='none'
    )
    expected = (pixels * target.weight).mean()
    output = model.forward_student(images)
    actual = model.supervised_loss(
        output, target.labels, 'masked', target.weight
    )
    torch.testing.assert_close(actual['masked.loss_ce'], expected)


def test_the_hosts_losses_are_the_hosts():
    model = build()
    host = MODELS.build(dict(tiny.dacs(), threshold=0.055))
    host.load_state_dict(model.state_dict())
    expected, losses = losses_of(host), losses_of(model)
    assert losses.keys() - expected.keys() == {
        'masked.loss_ce',
        'masked.acc_seg',
    }
    for key, value in expected.items():
        assert torch.equal(losses[key], value), key


def weighted(model: ConfigDict, loss_weight: float) -> dict[str, Tensor]:
    """Losses on masked images by the last part of their names."""
    torch.manual_seed(0)
    masking = dict(model.masking, loss_weight=loss_weight)
    network = MODELS.build(dict(model, threshold=0.055, masking=masking))
    network.init_weights()
    losses = losses_of(network.train())
    mark = 'masked.'
    return {k[len(mark) :]: v for k, v in losses.items() if mark in k}


def test_a_weight_of_the_loss():
    """It applies to each head."""
    model = mic()
    model.auxiliary_head = [model.decode_head] * 2
    once, half = weighted(model, 1.0), weighted(model, 0.5)
    for key in ('loss_ce', 'aux_0.loss_ce', 'aux_1.loss_ce'):
        torch.testing.assert_close(half.pop(key), once[key] / 2)
    assert set(half) == {'acc_seg', 'aux_0.acc_seg', 'aux_1.acc_seg'}
    for key, value in half.items():
        assert torch.equal(value, once[key]), key


def test_a_weight_of_the_loss_on_two_scales():
    """As released, it does not apply to the detail crop."""
    model = tiny.two_scales(mic(), context_weight=0.2)
    once, half = weighted(model, 1.0), weighted(model, 0.5)
    for key in ('loss_ce', 'context.loss_ce'):
        torch.testing.assert_close(half[key], once[key] / 2)
    assert torch.equal(half['detail.loss_ce'], once['detail.loss_ce'])


def test_masked_images_need_not_count_in_running_statistics():
    counted, kept = build(), build()
    kept.masked_statistics = False
    host = MODELS.build(dict(tiny.dacs(), threshold=0.055)).train()
    host.load_state_dict(kept.state_dict())
    losses = [losses_of(model) for model in (counted, kept, host)]
    for key, value in losses[0].items():
        assert torch.equal(losses[1][key], value), key
    counts, keeps, hosts = (m.state_dict() for m in (counted, kept, host))
    statistics = [k for k in hosts if 'running_' in k and 'teacher' not in k]
    for key in statistics:
        assert torch.equal(keeps[key], hosts[key]), key
        assert not torch.equal(counts[key], hosts[key]), key


def test_a_block_larger_than_the_images_is_refused_at_once():
    model = build(mode='separatetrg')
    model.masking.block = 1000
    with pytest.raises(UserError, match='model.masking.block=1000, but'):
        losses_of(model)


def run(cfg: Config) -> dict[str, Tensor]:
    runner = Runner.from_cfg(cfg)
    runner.train()
    return {k: v.clone() for k, v in runner.model.state_dict().items()}


@pytest.mark.parametrize(
    ('workers', 'mode'), [(0, 'separatetrgaug'), (2, 'separate')]
)
def test_a_resumed_run_has_the_same_weights(tmp_path, workers, mode):
    tiny.write_towns(tmp_path)

    def config(name: str) -> Config:
        model = mic(mode=mode)
        cfg = tiny.adversarial_run(tmp_path, tmp_path / name, model)
        cfg.train_dataloader.num_workers = workers
        cfg.optim_wrapper = dict(
            type='OptimWrapper', optimizer=dict(type='AdamW', lr=1e-2)
        )
        return cfg

    expected = run(config('whole'))
    again = config('again')
    again.update(resume=True, load_from=str(tmp_path / 'whole' / 'iter_3.pth'))
    actual = run(again)
    for key, value in expected.items():
        assert torch.equal(actual[key], value), key
