# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""What ends a distributed run before it starts, or in its midst."""

from __future__ import annotations

import pytest
import torch
from mmengine.config import Config
from mmengine.dist import get_world_size
from mmseg.registry import DATASETS

from mmseg_cag.engine.checks import check_rank_data_hook
from mmseg_cag.engine.runtime.cpu_distributed import use_gloo_without_gpu
from mmseg_cag.errors import UserError
from tests import tiny
from tests.test_distributed import launch

FAKE_TORCH = """
class cuda:
    @staticmethod
    def device_count():
        return 2
"""


@pytest.mark.long
def test_a_rank_that_dies_takes_the_others_down(tmp_path):
    tiny.write_towns(tmp_path)
    cfg = tiny.run_config(tmp_path, tmp_path / 'run')
    cfg.custom_hooks.append(dict(type='DieHook', rank=1, iteration=1))
    cfg.dump(tmp_path / 'config.py')
    done = launch('dist_train.sh', tmp_path, tmp_path / 'config.py', 2)
    assert done.returncode == 1
    assert 'Signal 9 (SIGKILL) received' in done.stderr
    assert 'rank      : 1' in done.stderr
    assert not (tmp_path / 'run/iter_2.pth').exists()


@pytest.mark.long
def test_all_ranks_skip_and_stop_at_a_bad_loss_of_one(tmp_path):
    tiny.write_towns(tmp_path)
    cfg = tiny.run_config(tmp_path, tmp_path / 'run')
    # A rank that waits for another one ends by itself.
    cfg.env_cfg.dist_cfg.timeout = 60
    cfg.custom_hooks += [
        dict(type='SpoilRankHook', rank=1, iterations=[2, 3]),
        dict(type='NonFiniteHook', on_nan='skip', limit=1),
        dict(type='KeepRankHook'),
    ]
    cfg.dump(tmp_path / 'config.py')
    done = launch('dist_train.sh', tmp_path, tmp_path / 'config.py', 2)
    assert done.returncode == 1
    for said in (
        'iteration 3: a loss of another rank is not finite; the 2th, limit=1',
        'iteration 3: source.loss_ce=nan',
    ):
        assert f'error: {said}' in done.stderr
    first, *ends = [
        torch.load(tmp_path / f'run/rank{rank}_{step}.pth')['state_dict']
        for rank, step in ((0, 1), (0, 2), (1, 2))
    ]
    weights = [key for key in first if key.endswith(('.weight', '.bias'))]
    for end in ends:
        assert all(torch.equal(end[key], first[key]) for key in weights)


@pytest.mark.parametrize(
    ('gpus', 'variables', 'message'),
    [
        (3, {}, 'GPUS=3, but there are 2; expected at most that, or 0'),
        (1, dict(NODE_RANK='2', NNODES='2'), 'NODE_RANK=2, expected less'),
    ],
)
def test_what_is_not_there_is_named_before_anything_starts(
    gpus, variables, message, tmp_path
):
    (tmp_path / 'torch.py').write_text(FAKE_TORCH)
    environment = dict(
        CUDA_VISIBLE_DEVICES='0,1', PYTHONPATH=str(tmp_path), **variables
    )
    done = launch('dist_train.sh', tmp_path, 'c.py', gpus, **environment)
    assert done.returncode == 2
    assert done.stderr.startswith(f'error: {message}')
    assert done.stderr.count('\n') == 1


def test_slurm_fills_whole_nodes(tmp_path):
    done = launch('slurm_train.sh', tmp_path, 'p', 'c.py', 12)
    assert done.returncode == 2
    assert 'GPUS=12, expected a multiple of GPUS_PER_NODE=8' in done.stderr


@pytest.fixture
def own(tmp_path) -> dict:
    """What a rank says of its data."""
    tiny.write_towns(tmp_path)
    dataset = DATASETS.build(tiny.uda(tmp_path))
    return {
        'source': check_rank_data_hook.describe(dataset.domains['source']),
        'target': check_rank_data_hook.describe(dataset.domains['target']),
    }


def test_ranks_with_the_same_data_may_start(own):
    check_rank_data_hook.compare([own] * 5)


@pytest.mark.parametrize(
    ('ranks', 'other', 'message'),
    [
        (
            2,
            (7, 'x'),
            'rank 1 has images with other names than rank 0',
        ),
        (2, (5, 'x'), 'source: rank 1 has 5 images, rank 0 has 7; expected'),
        (8, None, 'source: has 7 images, expected at least one for each of'),
    ],
)
def test_data_that_ranks_cannot_share_are_named(ranks, other, message, own):
    everyone = [own] * ranks
    if other:
        everyone[-1] = {**own, 'source': other}
    with pytest.raises(UserError, match=message) as caught:
        check_rank_data_hook.compare(everyone)
    assert '\n' not in str(caught.value)


def test_one_process_compares_nothing(monkeypatch):
    assert get_world_size() == 1
    check_rank_data_hook.CheckRankDataHook().before_train(runner=None)


def test_a_launch_without_a_gpu_needs_no_environment_in_its_config(
    monkeypatch,
):
    monkeypatch.setattr('torch.cuda.is_available', lambda: False)
    monkeypatch.setattr('torch.distributed.is_initialized', lambda: True)
    cfg = Config(dict(launcher='pytorch'))
    use_gloo_without_gpu(cfg)
    assert cfg.env_cfg.dist_cfg.backend == 'gloo'


@pytest.mark.parametrize('launcher', ['slurm', 'mpi'])
def test_other_launchers_need_a_gpu(monkeypatch, launcher):
    monkeypatch.setattr('torch.cuda.is_available', lambda: False)
    with pytest.raises(UserError, match=f'launcher={launcher}: no GPU'):
        use_gloo_without_gpu(Config(dict(launcher=launcher)))


def test_batch_norms_are_not_synchronised_without_a_gpu(monkeypatch):
    monkeypatch.setattr('torch.cuda.is_available', lambda: False)
    cfg = Config(dict(launcher='pytorch', sync_bn='torch'))
    with pytest.raises(UserError, match="sync_bn='torch': no GPU was found"):
        use_gloo_without_gpu(cfg)
