# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""NonFiniteHook under a real Runner."""

from __future__ import annotations

from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmseg_cag.errors import UserError
from tests import tiny

CHECKPOINT = 'iter_{}.pth'


@pytest.fixture(scope='module')
def root(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp('non_finite')
    tiny.write_towns(root)
    return root


def config(root: Path, work_dir: Path) -> Config:
    cfg = tiny.run_config(root, work_dir)
    cfg.custom_hooks.append(dict(type='NonFiniteHook'))
    return cfg


class Spoil(Hook):
    """Set a loss's weight to a number in the second iteration."""

    def __init__(self, loss: str, weight: float) -> None:
        self.loss, self.weight = loss, weight

    def before_train_iter(self, runner, batch_idx, data_batch=None) -> None:
        if runner.iter == 1:
            loss = runner.model.get_submodule(self.loss)
            loss.loss_weight = self.weight
            self.batch = data_batch


def message_of(cfg: Config, spoil: Spoil) -> str:
    runner = Runner.from_cfg(cfg)
    runner.register_hook(spoil)
    with pytest.raises(UserError) as caught:
        runner.train()
    message = str(caught.value)
    assert message.startswith('iteration 2: ')
    assert '\n' not in message
    return message


def names(samples: list) -> list[str]:
    return [sample.img_path for sample in samples]


@pytest.mark.parametrize(
    ('loss', 'key', 'bad', 'good'),
    [
        ('decode_head.loss_decode', 'source.loss_ce=nan', 'source', 'target'),
        ('pseudo_label_loss', 'target.loss_ce_anchor=nan', 'target', 'source'),
    ],
)
def test_the_loss_and_the_images_of_its_domain_are_named(
    loss, key, bad, good, root, tmp_path
):
    spoil = Spoil(loss, float('nan'))
    message = message_of(config(root, tmp_path), spoil)
    samples = spoil.batch['data_samples']
    assert key in message
    assert 'finite losses' in message and ' loss=' not in message
    assert all(name in message for name in names(samples[bad]))
    assert not any(name in message for name in names(samples[good]))
    assert (tmp_path / CHECKPOINT.format(1)).exists()
    assert not (tmp_path / CHECKPOINT.format(2)).exists()


def test_a_plain_batch_is_named(root, tmp_path):
    cfg = config(root, tmp_path)
    cfg.model = tiny.segmentor()
    tiny.one_stage(cfg, 6)
    cfg.train_dataloader = dict(
        batch_size=2,
        num_workers=0,
        sampler=dict(type='InfiniteSampler', shuffle=True),
        dataset=tiny.gta(root),
    )
    spoil = Spoil('decode_head.loss_decode', float('inf'))
    message = message_of(cfg, spoil)
    assert 'decode.loss_ce=inf' in message
    assert all(n in message for n in names(spoil.batch['data_samples']))
