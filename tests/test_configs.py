# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Every config builds, takes a shrunk training step a stage and evaluates."""

from __future__ import annotations

from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.runner import Runner

from mmseg_cag.datasets.minitown import draw_minitown
from mmseg_cag.experiments.minitown import set_stages, walk

ROOT = Path(__file__).parents[1]
CONFIGS = sorted(
    path.relative_to(ROOT).as_posix()
    for path in (ROOT / 'configs').rglob('*.py')
    if '_base_' not in path.parts
)
SIZE = (64, 128)


@pytest.fixture(scope='module')
def towns(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp('minitown')
    draw_minitown(root, size=SIZE, source=4, target=4, val=2, synthia=4)
    return root


def shrink(cfg: Config, towns: Path) -> Config:
    """Put in tiny images and one iteration a stage, and no downloads."""
    for part in walk(cfg._cfg_dict):
        if 'data_root' in part:
            folder = Path(part['data_root']).name
            part['data_root'] = str(towns / folder)
        if part.get('type') in ('RandomResize', 'Resize'):
            part['scale'] = (SIZE[1], SIZE[1])
        if part.get('type') == 'RandomCrop':
            part['crop_size'] = SIZE
        if 'batch_size' in part:
            part.update(batch_size=2, num_workers=0, persistent_workers=False)
    cfg.model.backbone.pop('init_cfg', None)
    set_stages(cfg, 1, cfg.get('stages', 1))
    cfg.load_from = None
    return cfg


@pytest.mark.parametrize('path', CONFIGS)
def test_a_step_of_each_stage(path: str, towns: Path, tmp_path: Path) -> None:
    cfg = shrink(Config.fromfile(ROOT / path), towns)
    cfg.work_dir = str(tmp_path)
    cfg.experiment_name = path
    cfg.default_hooks.checkpoint.interval = -1
    runner = Runner.from_cfg(cfg)
    runner.train()
    assert runner.iter == cfg.train_cfg.max_iters
    assert 0 <= runner.val_loop.run()['mIoU'] <= 100


@pytest.mark.parametrize('path', CONFIGS)
def test_no_adaptation_opens_a_target_label(path: str) -> None:
    dataset = Config.fromfile(ROOT / path).train_dataloader.dataset
    if dataset.type == 'UDADataset':
        steps = [step.type for step in dataset.target.pipeline]
        assert not any('Label' in s or 'Annotation' in s for s in steps)
        assert 'seg_map_path' not in dataset.target.data_prefix
