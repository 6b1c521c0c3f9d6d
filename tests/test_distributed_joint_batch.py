# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Two nodes of a process each are one process with the joint batch.

Slurm starts them: programs of its names that run two nodes on this machine.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from mmseg.registry import MODELS

from tests import tiny
from tests.test_distributed import free_port, launch, parts, state

pytestmark = pytest.mark.long

STAGE, ITERS = 5, 10
SRUN = """#!/usr/bin/env bash
# Runs what stands after the options once a node, as Slurm does.
echo "$@" > srun.txt
while [[ $1 == --* ]]; do shift; done
export SLURM_NNODES=2 SLURM_JOB_ID=7 SLURM_JOB_NODELIST=two-nodes
SLURM_NODEID=1 "$@" & other=$!
SLURM_NODEID=0 "$@"
wait $other
"""
SCONTROL = """#!/usr/bin/env bash
[ "$*" = "show hostnames two-nodes" ] && echo 127.0.0.1 && echo elsewhere
"""


def config(root: Path, work_dir: Path, batch_size: int) -> Config:
    """Frozen batch norms, and pseudo labels for some pixels, not as many."""
    cfg = tiny.run_config(root, work_dir, STAGE)
    cfg.load_from = str(root / 'warm.pth')
    cfg.model = tiny.cag(by=('anchor', 'probability'), margin=0.1, dropout=0.0)
    cfg.model.norm_eval = True
    sgd = dict(type='SGD', lr=1e-2, momentum=0.9)
    cfg.optim_wrapper = dict(type='OptimWrapper', optimizer=sgd)
    cfg.train_dataloader.batch_size = batch_size
    cfg.default_hooks.checkpoint.interval = ITERS
    cfg.default_hooks.rank_data = dict(type='CheckRankDataHook')
    cfg.default_hooks.effective_batch = dict(type='EffectiveBatchHook')
    cfg.auto_scale_lr = dict(base_batch_size=2)
    cfg.custom_hooks.append(dict(type='KeepRankHook'))
    return cfg


@pytest.fixture(scope='module')
def root(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp('joint_batch')
    tiny.write_towns(root)
    torch.manual_seed(8)
    stock = MODELS.build(tiny.segmentor())
    torch.save({'state_dict': stock.state_dict()}, root / 'warm.pth')
    for name, text in (('srun', SRUN), ('scontrol', SCONTROL)):
        (root / 'bin').mkdir(exist_ok=True)
        (root / 'bin' / name).write_text(text)
        (root / 'bin' / name).chmod(0o755)
    config(root, root / 'two', batch_size=2).dump(root / 'two.py')
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('PATH', str(root / 'bin'), prepend=':')
        done = launch(
            *('slurm_train.sh', root, 'partition', root / 'two.py', 2),
            GPUS_PER_NODE='1',
            PORT=free_port(),
        )
    assert done.returncode == 0, done.stderr[-4000:]
    Runner.from_cfg(config(root, root / 'one', batch_size=4)).train()
    return root


def test_slurm_is_asked_for_two_nodes(root):
    asked = (root / 'srun.txt').read_text()
    for option in (
        '--partition=partition',
        '--nodes=2 --ntasks=2 --ntasks-per-node=1',
        '--gres=gpu:1 --cpus-per-task=6',
        '--kill-on-bad-exit=1',
    ):
        assert option in asked


def test_ranks_are_bit_equal_after_ten_steps(root):
    first, second = (state(root / 'two', rank, ITERS) for rank in (0, 1))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[key], second[key]) for key in first)


@pytest.mark.parametrize('iteration', [1, ITERS])
def test_anchors_and_labeler_are_those_of_one_process(root, iteration):
    one, two = (
        parts(state(root / name, 0, iteration), 'anchor_bank', 'teacher')
        for name in ('one', 'two')
    )
    assert one.keys() == two.keys()
    for key in one:
        torch.testing.assert_close(two[key], one[key], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize('iteration', range(1, ITERS + 1))
def test_averaged_losses_are_those_of_the_joint_batch(root, iteration):
    ranks = [losses(root / 'two', rank, iteration) for rank in (0, 1)]
    joint = losses(root / 'one', 0, iteration)
    assert len(joint) == 6
    for key, value in joint.items():
        mean = (ranks[0][key] + ranks[1][key]) / 2
        assert ranks[0][key] != ranks[1][key]
        torch.testing.assert_close(mean, value, rtol=1e-6, atol=1e-6)


def losses(folder: Path, rank: int, iteration: int) -> dict:
    saved = torch.load(folder / f'rank{rank}_{iteration}.pth')['losses']
    return {key: value for key, value in saved.items() if 'loss' in key}


def test_ranks_have_unequal_numbers_of_pseudo_labels(root):
    shares = [
        torch.load(root / f'two/rank{rank}_1.pth')['losses'][key].item()
        for rank in (0, 1)
        for key in ('target.active_anchor', 'target.active_probability')
    ]
    assert len(set(shares)) > 2
    assert 0 < min(shares) < 1


def test_the_effective_batch_is_told_and_compared(root):
    [log] = (root / 'two').glob('*/*.log')
    text = log.read_text()
    assert (
        'Effective batch: 4 images of each domain: 2 per process, '
        '2 processes, 1 accumulated' in text
    )
    assert 'Effective batch: 4 images, the recipe has 2' in text
