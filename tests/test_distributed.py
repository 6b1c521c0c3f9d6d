# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Two processes on the CPU, started as a user starts them."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from mmseg.registry import MODELS

from mmseg_cag.errors import UserError
from mmseg_cag.evaluation.bootstrap import MIN_GROUPS
from tests import tiny

ROOT = Path(__file__).parents[1]
STAGE, ITERS = 2, 4


def config(root: Path, work_dir: Path) -> Config:
    cfg = tiny.run_config(root, work_dir, STAGE)
    cfg.load_from = str(root / 'warm.pth')
    cfg.default_hooks.checkpoint.interval = ITERS
    cfg.custom_hooks.append(dict(type='KeepRankHook'))
    cfg.custom_hooks.append(dict(type='KeepPredictionHook', interval=1))
    cfg.default_hooks.monitor = dict(type='MonitorHook', interval=1)
    cfg.default_hooks.do_no_harm = dict(
        type='DoNoHarmHook',
        interval=2,
        on_harm='report',
        limits=dict(sure=0.0),
    )
    cfg.test_pipeline = tiny.pipeline(None)
    cfg.model.pseudo_label_head.update(margin='auto', precision=0.3)
    return cfg


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return str(probe.getsockname()[1])


def launch(
    script: str, folder: Path, *arguments: object, **variables: str
) -> subprocess.CompletedProcess:
    """Run a launcher of tools/ on the CPU."""
    environment = {
        **os.environ,
        'PATH': f'{Path(sys.executable).parent}:{os.environ["PATH"]}',
        'PORT': free_port(),
        'CUDA_VISIBLE_DEVICES': '',
        'OMP_NUM_THREADS': '1',
        **variables,
    }
    return subprocess.run(
        [ROOT / 'tools' / script, *map(str, arguments)],
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
    )


def launch_two(script: str, folder: Path, *arguments: object) -> str:
    """Run a launcher of tools/ with two processes; returns what they say."""
    done = launch(script, folder, *arguments, '2')
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


def train_two(root: Path, cfg: Config) -> None:
    cfg.dump(root / 'two.py')
    launch_two('dist_train.sh', root, root / 'two.py')


@pytest.fixture(scope='module')
def root(tmp_path_factory) -> Path:
    """Results of the same run by one process and by two."""
    root = tmp_path_factory.mktemp('distributed')
    tiny.write_towns(root)
    torch.manual_seed(8)
    stock = MODELS.build(tiny.segmentor())
    torch.save({'state_dict': stock.state_dict()}, root / 'warm.pth')
    train_two(root, config(root, root / 'two'))
    Runner.from_cfg(config(root, root / 'one')).train()
    return root


def state(folder: Path, rank: int, iteration: int) -> dict:
    return torch.load(folder / f'rank{rank}_{iteration}.pth')['state_dict']


def parts(state: dict, *prefixes: str) -> dict:
    return {k: v for k, v in state.items() if k.startswith(prefixes)}


def test_the_launcher_wraps_the_model_for_the_cpu(root):
    kinds = {
        name: torch.load(root / name / 'rank0_1.pth')['kind']
        for name in ('one', 'two')
    }
    assert kinds == {
        'one': 'CAGSegmentor',
        'two': 'CPUDistributedDataParallel',
    }


@pytest.mark.parametrize('iteration', range(1, ITERS + 1))
def test_ranks_hold_the_same(root, iteration):
    first, second = (state(root / 'two', rank, iteration) for rank in (0, 1))
    assert first.keys() == second.keys()
    statistics = [
        key
        for key in parts(first, 'backbone', 'decode_head')
        if 'running_' in key
    ]
    for key in first.keys() - set(statistics):
        assert torch.equal(first[key], second[key]), key
    # Each rank had images of its own, which its batch statistics show.
    assert not any(torch.equal(first[k], second[k]) for k in statistics)


def test_the_labeler_has_the_statistics_of_all_ranks(root):
    ends = [state(root / 'two', rank, STAGE) for rank in (0, 1)]
    teacher = parts(state(root / 'two', 0, STAGE + 1), 'teacher.module.')
    for key, value in teacher.items():
        if value.is_floating_point():
            student = key.removeprefix('teacher.module.')
            mean = (ends[0][student] + ends[1][student]) / 2
            torch.testing.assert_close(value, mean)


def test_anchors_are_those_of_one_process(root):
    one, two = (state(root / name, 0, 1) for name in ('one', 'two'))
    counts = one['anchor_bank.counts']
    assert torch.equal(two['anchor_bank.counts'], counts)
    assert counts.count_nonzero() == len(tiny.USED)
    torch.testing.assert_close(
        two['anchor_bank.anchors'],
        one['anchor_bank.anchors'],
        rtol=1e-6,
        atol=1e-6,
    )


def test_the_automatic_margin_is_chosen_on_the_pixels_of_all_ranks(root):
    one, two = (
        state(root / name, 0, 1)['pseudo_label_head.margin']
        for name in ('one', 'two')
    )
    assert one.isfinite().all()
    torch.testing.assert_close(two, one, rtol=1e-3, atol=1e-4)


def test_the_checkpoint_is_that_of_the_ranks(root):
    path = root / 'two' / f'iter_{ITERS}.pth'
    saved = torch.load(path, weights_only=False)['state_dict']
    rank = state(root / 'two', 0, ITERS)
    assert saved.keys() == rank.keys()
    assert all(torch.equal(saved[key], rank[key]) for key in saved)


def test_the_monitor_adds_up_what_both_ranks_see(root):
    lines = (root / 'two/monitor.jsonl').read_text().splitlines()
    records = [json.loads(line) for line in lines]
    assert [record['iter'] for record in records] == [1, 2, 3, 4]
    for record in records:
        name = f'_{record["iter"]}.npy'
        ranks = [np.load(root / 'two' / f'seen{r}{name}') for r in (0, 1)]
        assert (ranks[0] != ranks[1]).any()
        counts = np.bincount(np.stack(ranks).ravel(), minlength=19)
        shares = list(record['predicted'].values())
        assert shares == pytest.approx(counts / counts.sum(), abs=1e-6)


def test_do_no_harm_sees_all_images_in_their_order(root):
    one, two = (
        np.load(root / name / 'before_adaptation.npz')
        for name in ('one', 'two')
    )
    assert {'target', 'source'} <= {*two.files}
    for key in ('target', 'source'):
        assert (one[key] == two[key]).all(), key
    lines = (root / 'two/do_no_harm.jsonl').read_text().splitlines()
    assert [json.loads(line)['iter'] for line in lines] == [2, 4]


def harmed(root: Path, work_dir: Path, start: str) -> Config:
    """A run that its rate destroys, and that labels are to stop."""
    cfg = config(root, work_dir)
    cfg.load_from = start
    cfg.optim_wrapper.optimizer.lr = 1.0
    cfg.default_hooks.do_no_harm = dict(
        type='DoNoHarmHook',
        interval=1,
        patience=2,
        labelled=dict(tiny.cityscapes(root, 'choose')),
    )
    return cfg


def test_labels_stop_both_ranks_and_keep_the_start(tmp_path):
    Runner.from_cfg(tiny.warm_up(tmp_path)).train()
    start = tmp_path / 'warm/iter_60.pth'
    tiny.write_cityscapes(tmp_path / 'cityscapes', 'choose', MIN_GROUPS)
    with pytest.raises(UserError, match='adaptation lost'):
        Runner.from_cfg(harmed(tmp_path, tmp_path / 'one', str(start))).train()
    # Ranks wait for each other to download.
    with tiny.served(start.parent) as address:
        cfg = harmed(tmp_path, tmp_path / 'two', f'{address}/{start.name}')
        cfg.dump(tmp_path / 'two.py')
        done = launch(
            'dist_train.sh',
            tmp_path,
            tmp_path / 'two.py',
            '2',
            TORCH_HOME=str(tmp_path / 'downloads'),
        )
    assert done.returncode == 1
    assert 'adaptation lost' in done.stdout + done.stderr
    for rank in (0, 1):
        found = {*(tmp_path / 'two').glob(f'rank{rank}_*.pth')}
        assert {path.stem for path in found} == {
            f'rank{rank}_{iteration}' for iteration in (1, 2)
        }
    one, two = (
        np.load(tmp_path / name / 'before_adaptation.npz')['confusion']
        for name in ('one', 'two')
    )
    assert (one == two).all()
    one, two = (
        torch.load(tmp_path / name / 'best.pth', weights_only=False)
        for name in ('one', 'two')
    )
    assert not two['meta']['do_no_harm']['adapted']
    assert one['state_dict'].keys() == two['state_dict'].keys()
    for key, value in one['state_dict'].items():
        assert torch.equal(two['state_dict'][key], value), key
