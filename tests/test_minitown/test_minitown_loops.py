# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from pathlib import Path

from mmengine.config import Config

from mmseg_cag.minitown.loops import MinitownLoops
from mmseg_cag.minitown.runs import Budget
from mmseg_cag.workflows.bdl.plan import load_steps
from mmseg_cag.workflows.bdl.steps import Training


def make(root: Path, seed: int = 4, **budget: int) -> MinitownLoops:
    small = Budget(images=(2, 2, 1, 1), size=(32, 64), **budget)
    return MinitownLoops(root / 'data', root / 'runs', seed, small)


def networks(loops: MinitownLoops) -> dict[str, Config]:
    loop = Config.fromfile(loops._write_loop('bdl_loop'))
    loop.update(work_dir=str(loops.folder / 'bdl_loop'), launcher='none')
    return {
        step.name: step.cfg
        for step in load_steps(loop)
        if isinstance(step, Training)
    }


def test_its_runs_are_of_this_seed_and_folder(tmp_path):
    runs = networks(make(tmp_path))
    names = ['translator_1', 'plain_1', 'ssl_1']
    names += ['translator_2', 'plain_2', 'ssl_2']
    assert list(runs) == names
    source_only = tmp_path / 'runs/source_only/iter_600.pth'
    for name, cfg in runs.items():
        assert cfg.randomness.seed == 4
        assert cfg.work_dir == str(tmp_path / 'runs/bdl_loop' / name)
        if 'decode_head' in cfg.model:
            assert cfg.load_from == str(source_only)
            for domain in ('source', 'target'):
                data = cfg.train_dataloader.dataset.domains[domain]
                assert Path(data.data_root).parent == tmp_path / 'data'
    # The last is as long as the other methods' runs.
    assert runs['plain_2'].train_cfg.max_iters == 150
    assert runs['ssl_2'].train_cfg.max_iters == 225


def test_the_budget_is_that_of_every_network(tmp_path):
    runs = networks(make(tmp_path, supervised_iters=4, stage_iters=2))
    for name, cfg in runs.items():
        iters = 4 if 'translator' in name else 2
        assert cfg.train_cfg.max_iters == iters


def test_another_seed_or_start_is_another_loop(tmp_path):
    def fingerprint(**changes: int) -> str:
        return make(tmp_path, **changes)._loop('bdl_loop').fingerprint

    assert fingerprint() == fingerprint()
    different = [fingerprint(seed=5), fingerprint(supervised_iters=7)]
    assert len({fingerprint(), *different}) == 3
