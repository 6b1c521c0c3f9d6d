# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Every config takes shrunk training steps of two stages and evaluates."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.runner import Runner
from mmseg.models.backbones import ResNet

from mmseg_cag.datasets.minitown import draw_minitown
from mmseg_cag.experiments.stages import set_stages, walk
from tests.own_data import write_own

ROOT = Path(__file__).parents[1]
CONFIGS = sorted(
    path.relative_to(ROOT).as_posix()
    for path in (ROOT / 'configs').rglob('*.py')
    if '_base_' not in path.parts
)
SIZE = (64, 128)
RESIZES = ('RandomResize', 'RandomResizeCrop', 'Resize', 'ResizeLabel')


@pytest.fixture(autouse=True, scope='module')
def unformatted() -> Iterator[None]:
    """Spare the runner the formatting of its config, which takes seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Config, 'pretty_text', property(repr))
        yield


@pytest.fixture(autouse=True, scope='module')
def shallow() -> Iterator[None]:
    """Give ResNet-50 few blocks: only the depth shrinks, no kind or width."""
    bottleneck, _ = ResNet.arch_settings[50]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(ResNet.arch_settings, 50, (bottleneck, (1, 1, 1, 2)))
        yield


@pytest.fixture(scope='module')
def towns(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp('minitown')
    draw_minitown(root, size=SIZE, source=2, target=2, val=2, synthia=2)
    write_own(root, root)
    return root


def shrink(cfg: Config, towns: Path) -> Config:
    """Put in tiny images and one iteration a stage, and no downloads."""
    for part in walk(cfg._cfg_dict):
        if 'data_root' in part:
            folder = Path(part['data_root']).name
            part['data_root'] = str(towns / folder)
        if part.get('type') in RESIZES:
            part['scale'] = (SIZE[1], SIZE[1])
        if part.get('type') in ('RandomCrop', 'RandomResizeCrop'):
            part['crop_size'] = SIZE
            part.pop('frame_size', None)
        if 'target_size' in part:
            part['target_size'] = SIZE
        if 'batch_size' in part:
            part.update(batch_size=2, num_workers=0, persistent_workers=False)
    cfg.model.backbone.pop('init_cfg', None)
    cfg.model.backbone.pop('pretrained', None)
    # Fewer blocks of the same kinds and widths: only the depth shrinks.
    if 'depth' in cfg.model.backbone:
        cfg.model.backbone.depth = 50
    if 'num_layers' in cfg.model.backbone:
        cfg.model.backbone.num_layers = [1, 1, 1, 1]
    set_stages(cfg, 1, min(2, cfg.get('stages', 1)))
    cfg.train_cfg.val_interval = 1 + cfg.train_cfg.max_iters
    cfg.start_from = cfg.load_from = None
    return cfg


@pytest.mark.parametrize('path', CONFIGS)
def test_a_step_a_stage(path: str, towns: Path, tmp_path: Path) -> None:
    cfg = shrink(Config.fromfile(ROOT / path), towns)
    cfg.work_dir = str(tmp_path)
    cfg.experiment_name = path
    cfg.default_hooks.checkpoint = None  # hundreds of megabytes each
    runner = Runner.from_cfg(cfg)
    runner.train()
    assert runner.iter == cfg.train_cfg.max_iters
    # Each iteration was a stage, whose labeler is its student's start.
    stage = getattr(runner.model, 'stage', None)
    assert stage is None or stage == cfg.train_cfg.max_iters
    assert 0 <= runner.val_loop.run()['mIoU'] <= 100


@pytest.mark.parametrize('path', CONFIGS)
def test_no_adaptation_opens_a_target_label(path: str) -> None:
    dataset = Config.fromfile(ROOT / path).train_dataloader.dataset
    if dataset.type == 'UDADataset':
        steps = [step.type for step in dataset.target.pipeline]
        assert not any('Label' in s or 'Annotation' in s for s in steps)
        assert 'seg_map_path' not in dataset.target.data_prefix
