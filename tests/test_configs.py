# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Every config takes shrunk training steps of two stages and evaluates."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config
from mmengine.runner import Runner
from mmseg.datasets import CityscapesDataset
from mmseg.models.backbones import ResNet

from mmseg_cag.datasets.labels.pseudo_label_note import NOTE
from mmseg_cag.engine.loops import total_iters
from mmseg_cag.engine.stages.anchor_hook import build_loader
from mmseg_cag.launch.cfg_options import merge_options, parse_options
from mmseg_cag.launch.chain import default_work_dir
from mmseg_cag.launch.stages import set_iters, walk
from mmseg_cag.minitown.town import draw_minitown
from mmseg_cag.workflows.bdl.plan import load_steps
from tests import tiny
from tests.own_data import write_own

ROOT = Path(__file__).parents[1]
ALL = sorted(
    path.relative_to(ROOT).as_posix()
    for path in (ROOT / 'configs').rglob('*.py')
    if '_base_' not in path.parts
)
LOOPS = [path for path in ALL if 'loop' in Path(path).stem]
TRANSLATORS = [path for path in ALL if 'translator' in Path(path).stem]
CONFIGS = [path for path in ALL if path not in LOOPS + TRANSLATORS]
SIZE = (64, 128)
RESIZES = ('RandomResize', 'RandomResizeCrop', 'ResizeLabel')


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
    write_made(root)
    return root


def write_made(root: Path) -> None:
    """Write what networks make of the towns: translated images, labels."""
    shutil.copytree(root / 'gta/images', root / 'gta/translated')
    shutil.copytree(root / 'synthia/RGB', root / 'synthia/translated')
    images, labels = (
        root / 'cityscapes' / name
        for name in ('leftImg8bit/train', 'pseudo_labels')
    )
    for path in images.rglob('*.png'):
        ids = np.random.default_rng(0).integers(0, 19, SIZE, np.uint8)
        tiny.save_image(labels / path.relative_to(images), ids)
    classes = CityscapesDataset.METAINFO['classes']
    note = dict(
        origin={}, classes=dict.fromkeys(classes, {}), ignore_index=255
    )
    (labels / NOTE).write_text(json.dumps(note))


def put_in(cfg: Config, towns: Path) -> None:
    """Put in tiny images."""
    for part in walk(cfg._cfg_dict):
        if 'data_root' in part:
            folder = Path(part['data_root']).name
            part['data_root'] = str(towns / folder)
        if part.get('type') in RESIZES:
            part['scale'] = (SIZE[1], SIZE[1])
        if part.get('type') == 'Resize':
            # What was predicted at this size was: the images' own.
            part['scale'] = SIZE[::-1]
        if part.get('type') in ('RandomCrop', 'RandomResizeCrop'):
            part['crop_size'] = SIZE
            part.pop('frame_size', None)
        if 'target_size' in part:
            part['target_size'] = SIZE
        if 'batch_size' in part:
            part.update(batch_size=2, num_workers=0, persistent_workers=False)


def shrink(cfg: Config, towns: Path) -> Config:
    """Put in tiny images and one iteration a stage, and no downloads."""
    put_in(cfg, towns)
    cfg.model.backbone.pop('init_cfg', None)
    cfg.model.backbone.pop('pretrained', None)
    # Fewer blocks of the same kinds and widths: only the depth shrinks.
    if 'depth' in cfg.model.backbone:
        cfg.model.backbone.depth = 50
    if 'num_layers' in cfg.model.backbone:
        cfg.model.backbone.num_layers = [1, 1, 1, 1]
    set_iters(cfg, 1)
    loop = cfg.train_cfg
    if 'stages' in loop:
        loop.update(stages=2, val_begin=3)
    else:
        loop.val_begin = 2
    cfg.start_from = cfg.load_from = None
    return cfg


def keep_no_checkpoint(cfg: Config) -> None:
    cfg.default_hooks.checkpoint.update(interval=-1, save_last=False)
    cfg.default_hooks.checkpoint.save_best = None


@pytest.mark.parametrize('path', CONFIGS)
def test_a_step_a_stage(path: str, towns: Path, tmp_path: Path) -> None:
    cfg = Config.fromfile(ROOT / path)
    # What the learning rates are for is what one process has.
    assert cfg.auto_scale_lr.base_batch_size == cfg.train_dataloader.batch_size
    shrink(cfg, towns)
    cfg.work_dir = str(tmp_path)
    cfg.experiment_name = path
    keep_no_checkpoint(cfg)  # hundreds of megabytes each
    runner = Runner.from_cfg(cfg)
    runner.train()
    assert runner.iter == total_iters(cfg.train_cfg)
    # Each iteration was a stage, whose labeler is its student's start.
    stage = getattr(runner.model, 'stage', None)
    assert stage is None or stage == total_iters(cfg.train_cfg)
    assert 0 <= runner.val_loop.run()['mIoU'] <= 100


def test_one_word_sets_what_it_names(towns: Path, tmp_path: Path) -> None:
    cfg = Config.fromfile(ROOT / 'configs/minitown/cag.py')
    words = [
        'default_hooks.non_finite.on_nan=skip',
        'train_cfg.stage_iters=5000',
        'anchor_dataloader.batch_size=3',
    ]
    merge_options(cfg, parse_options(words))
    cfg.start_from = cfg.model.backbone.pretrained = None
    cfg.work_dir, cfg.experiment_name = str(tmp_path), 'one_word'
    size = cfg.anchor_dataloader.batch_size
    put_in(cfg, towns)
    cfg.anchor_dataloader.batch_size = size
    runner = Runner.from_cfg(cfg)
    loop = runner.train_loop
    assert (loop.stage_iters, loop.max_iters) == (5000, 15000)
    assert loop.val_interval == 5000
    hooks = {type(hook).__name__: hook for hook in runner.hooks}
    assert hooks['AtomicCheckpointHook'].interval == 2500
    assert hooks['NonFiniteHook'].on_nan == 'skip'
    assert build_loader(runner).batch_size == 3
    assert 'stage_iters' not in str(cfg.param_scheduler)


@pytest.mark.parametrize('path', TRANSLATORS)
def test_a_translator_takes_a_step(path: str, towns: Path, tmp_path) -> None:
    cfg = Config.fromfile(ROOT / path)
    put_in(cfg, towns)
    cfg.model.generator.num_blocks = 1
    cfg.train_cfg.max_iters = 1
    cfg.work_dir = str(tmp_path)
    cfg.experiment_name = path
    keep_no_checkpoint(cfg)
    runner = Runner.from_cfg(cfg)
    runner.train()
    dataset = cfg.train_dataloader.dataset
    for part in (dataset.source, dataset.target, cfg.translate_dataloader):
        part = part.get('dataset', part)
        assert set(part.data_prefix) == {'img_path'}
        assert not any('Label' in step.type for step in part.pipeline)


@pytest.mark.parametrize('path', CONFIGS)
def test_no_adaptation_opens_a_target_label(path: str) -> None:
    dataset = Config.fromfile(ROOT / path).train_dataloader.dataset
    if dataset.type == 'UDADataset':
        steps = {step.type for step in dataset.target.pipeline}
        # These read what a network has labelled, and nothing else.
        made = {'LoadPseudoLabels'} & steps
        assert not any('Label' in s or 'Annot' in s for s in steps - made)
        assert made or 'seg_map_path' not in dataset.target.data_prefix


@pytest.mark.parametrize('path', CONFIGS)
def test_what_a_run_starts_from_is_found_from_any_folder(path: str) -> None:
    start = Config.fromfile(ROOT / path).start_from
    if start:
        assert Path(start).is_absolute() and Path(start).is_file()
        work_dir = default_work_dir(start)
        assert work_dir == default_work_dir(Path(start).resolve())


@pytest.mark.parametrize('path', LOOPS)
def test_a_loop_can_be_planned(path: str, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)  # a loop finds its runs from any folder
    cfg = Config.fromfile(ROOT / path)
    cfg.update(work_dir=str(tmp_path), launcher='none')
    assert [step.name for step in load_steps(cfg)][-1].startswith('ssl')
