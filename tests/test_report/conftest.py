# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Work dirs to report on: as a whole run leaves them, and with less."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmseg.datasets import CityscapesDataset

from mmseg_cag.analysis.model_selection.score_run import score_run
from mmseg_cag.analysis.runs.run import open_run
from mmseg_cag.monitor.alarms import Alarm, write_alarm
from tests import finished, tiny

SPIKE = '<script>window.spiked = true</script>'
SPIKED = 'building'  # the class that is called so


class AlarmHook(Hook):
    """Raise an alarm, as the monitor does, at the fifth iteration."""

    def after_train_iter(self, runner: Runner, *args, **kwargs) -> None:
        if runner.iter == 4:
            write_alarm(runner, Alarm('coverage', SPIKED, 'it is unlearned'))


@pytest.fixture(scope='session')
def root(tmp_path_factory) -> Path:
    """Towns and two runs, one of which the other was started from."""
    root = tmp_path_factory.mktemp('report')
    plain = finished.make_plain(finished.write_run(root, stages=1))
    start = Path(shutil.move(plain, root / 'source'))
    cfg = tiny.run_config(root, root / 'cag')
    cfg.load_from = str(start / 'iter_3.pth')
    cfg.test_dataloader = cfg.val_dataloader
    cfg.test_evaluator = cfg.val_evaluator = dict(type='UDAIoUMetric')
    cfg.test_cfg = dict(type='TestLoop')
    cfg.model.pseudo_label_head.margin = 0.05
    cfg.default_hooks.update(
        monitor=dict(type='MonitorHook', interval=1),
        anchor_record=dict(type='AnchorRecordHook'),
    )
    cfg.custom_hooks.append(dict(type='ResultSummaryHook'))
    cfg.visualizer = dict(
        type='SegLocalVisualizer', vis_backends=[dict(type='LocalVisBackend')]
    )
    runner = Runner.from_cfg(cfg)
    runner.register_hook(AlarmHook())
    runner.train()
    score_run(open_run(root / 'cag'), images=2, pixels=20, evaluates=False)
    return root


@pytest.fixture
def recorded(root, tmp_path) -> Path:
    """The work dir of a run with all that its writers write."""
    shutil.copytree(root, tmp_path, dirs_exist_ok=True)
    for path in tmp_path.rglob('*.py'):
        path.write_text(path.read_text().replace(str(root), str(tmp_path)))
    return tmp_path / 'cag'


@pytest.fixture
def spiked(recorded, monkeypatch) -> Path:
    """The run, one of whose classes would run in a page."""
    meta = CityscapesDataset.METAINFO
    names = [SPIKE if n == SPIKED else n for n in meta['classes']]
    monkeypatch.setitem(meta, 'classes', tuple(names))
    for path in recorded.glob('*.json*'):
        text = path.read_text().replace(f'"{SPIKED}"', json.dumps(SPIKE))
        path.write_text(text.replace(f'"IoU.{SPIKED}"', f'"IoU.{SPIKE}"'))
    return recorded


@pytest.fixture
def bare(recorded) -> Path:
    """The run without what a monitor or a validation noted."""
    for path in recorded.glob('*.json*'):
        path.unlink()
    [scalars] = recorded.glob('*/vis_data/scalars.json')
    lines = scalars.read_text().splitlines(keepends=True)
    scalars.write_text(''.join(x for x in lines if '"mIoU"' not in x))
    return recorded
