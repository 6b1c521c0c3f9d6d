# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmengine.runner import Runner
from mmseg.registry import HOOKS, MODELS

from mmseg_cag.errors import UserError
from tests import tiny


def weights(root: Path, name: str, *hooks: dict) -> dict:
    cfg = tiny.run_config(root, root / name, stage_iters=1)
    cfg.optim_wrapper.optimizer = dict(type='SGD', lr=1e-2)
    cfg.default_hooks.checkpoint = None
    cfg.custom_hooks += hooks
    runner = Runner.from_cfg(cfg)
    runner.train()
    return runner.model.state_dict()


@pytest.mark.long
def test_a_compiled_run_is_the_eager_one(tmp_path):
    tiny.write_towns(tmp_path)
    torch._dynamo.utils.counters.clear()
    eager = weights(tmp_path, 'eager')
    assert not torch._dynamo.utils.counters['stats']
    hook = dict(type='CompileHook', backend='aot_eager')
    compiled = weights(tmp_path, 'compiled', hook)
    # The student's graph, and the teacher's.
    assert torch._dynamo.utils.counters['stats']['unique_graphs'] >= 2
    assert not torch._dynamo.utils.counters['graph_break']
    assert compiled.keys() == eager.keys()
    for key, value in eager.items():
        torch.testing.assert_close(compiled[key], value, rtol=1e-5, atol=1e-5)


def test_a_model_without_the_parts_is_named():
    hook = HOOKS.build(dict(type='CompileHook', parts=['neck']))
    runner = SimpleNamespace(model=MODELS.build(tiny.cag()))
    with pytest.raises(UserError, match=r"parts=\['neck'\], but CAGSeg"):
        hook.before_train(runner)
