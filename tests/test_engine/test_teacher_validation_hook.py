# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from torch import nn

from mmseg_cag.engine.records.provenance import provenance_of
from mmseg_cag.engine.records.result_summary_hook import NOTES, read_results
from mmseg_cag.errors import UserError
from tests import tiny

HOOK = dict(type='TeacherValidationHook')


def config(root, name: str, **hooks: dict) -> Config:
    cfg = tiny.adversarial_run(root, root / name, tiny.dacs())
    cfg.train_cfg.update(max_iters=4, val_interval=2)
    cfg.optim_wrapper = dict(
        type='OptimWrapper', optimizer=dict(type='AdamW', lr=1e-2)
    )
    cfg.val_evaluator.type = 'UDAIoUMetric'
    cfg.default_hooks.update(results=dict(type='ResultSummaryHook'), **hooks)
    return cfg


def train(cfg: Config) -> tuple[Runner, dict]:
    runner = Runner.from_cfg(cfg)
    runner.train()
    return runner, read_results(Path(cfg.work_dir, NOTES))


def weights_of(model: nn.Module) -> dict[str, torch.Tensor]:
    return {k: v.clone() for k, v in model.state_dict().items()}


def test_the_teacher_is_scored_as_a_student_with_its_weights(tmp_path):
    tiny.write_towns(tmp_path)
    plain, expected = train(config(tmp_path, 'plain'))
    runner, results = train(config(tmp_path, 'with', teacher_validation=HOOK))
    weights, own = weights_of(plain.model), weights_of(runner.model)
    assert all(torch.equal(own[key], value) for key, value in weights.items())
    assert list(results) == [2, 4]
    for iteration, result in results.items():
        found = {k: v for k, v in result.items() if k in expected[iteration]}
        assert found == expected[iteration]  # the confusion matrix, too
    teacher = runner.model.teacher.module.state_dict()
    runner.model.load_state_dict(teacher, strict=False)
    runner._hooks = []
    scores = runner.val_loop.run()
    assert scores['mIoU'] != results[4]['mIoU']
    assert scores == {k: results[4][f'teacher/{k}'] for k in scores}


def test_no_weight_depends_on_it(tmp_path):
    plain = config(tmp_path, 'run')
    told = config(tmp_path, 'run', teacher_validation=HOOK)
    assert provenance_of(told) == provenance_of(plain)


def test_a_method_without_a_mean_teacher(tmp_path):
    tiny.write_towns(tmp_path)
    cfg = tiny.run_config(tmp_path, tmp_path / 'cag')
    cfg.default_hooks.teacher_validation = HOOK
    with pytest.raises(UserError, match='CAGSegmentor has no mean teacher'):
        Runner.from_cfg(cfg).train()
