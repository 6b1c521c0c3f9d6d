# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Every config takes shrunk training steps of two stages and evaluates."""

from __future__ import annotations

import json
import runpy
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from mmseg.datasets import CityscapesDataset
from mmseg.models.backbones import ResNet
from mmseg.registry import DATASETS, MODELS
from PIL import Image

from mmseg_cag.datasets import rare_classes
from mmseg_cag.datasets.dataset_configs import leaves
from mmseg_cag.datasets.pseudo_label_metadata import METADATA
from mmseg_cag.datasets.roles import Roles, labelled_images, write_roles
from mmseg_cag.engine.loops import total_iters
from mmseg_cag.engine.records.do_no_harm_hook import DoNoHarmHook
from mmseg_cag.launch.stages import set_iters, walk
from mmseg_cag.minitown.town import draw_minitown
from mmseg_cag.models.backbones import DINOv2
from mmseg_cag.models.student import student_model
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
# Nothing of these is trained: tools/fit_anchors.py reads them.
FITTED = [path for path in ALL if 'nearest_anchor' in Path(path).stem]
# These begin from a file about the source: test_export_source_free.
SOURCE_FREE = [path for path in ALL if 'source_free' in path]
OTHERS = LOOPS + TRANSLATORS + FITTED + SOURCE_FREE
CONFIGS = [path for path in ALL if path not in OTHERS]
# One of each folder is stepped in every run of the tests.
FIRST = {Path(path).parent: path for path in reversed(CONFIGS)}.values()
STEPPED = [
    path if path in FIRST else pytest.param(path, marks=pytest.mark.long)
    for path in CONFIGS
]
# The same of these: the first of them.
FITTED_ONCE = [
    path if path == FITTED[0] else pytest.param(path, marks=pytest.mark.long)
    for path in FITTED
]
SIZE = (64, 128)
LABEL = 'gt_labelIds'  # of Dark Zurich and ACDC
RESIZES = ('RandomResize', 'RandomResizeCrop', 'ResizeLabel')


@pytest.fixture(autouse=True, scope='module')
def shallow() -> Iterator[None]:
    """Give ResNet-50 few blocks: only the depth shrinks, no kind or width."""
    bottleneck, _ = ResNet.arch_settings[50]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(ResNet.arch_settings, 50, (bottleneck, (1, 1, 1, 2)))
        yield


@pytest.fixture(autouse=True, scope='module')
def index_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the index of class pixels out of the checkout."""
    folder = tmp_path_factory.mktemp('class_pixels')
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rare_classes, 'INDEX_FOLDER', folder)
        yield


@pytest.fixture(scope='module')
def towns(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp('minitown')
    draw_minitown(root, size=SIZE, source=2, target=4, val=2, synthia=2)
    write_own(root, root)
    write_made(root)
    write_more_targets(root)
    write_camvid(root)
    write_some_roles(root)
    return root


def write_some_roles(root: Path) -> None:
    """Give two images of the target a role, and leave two without."""
    streets = Config.fromfile(
        ROOT / 'configs/_base_/datasets/uda_real_streets.py'
    )
    camvid = {**streets.target_labelled, 'data_root': str(root / 'camvid')}
    own = Config.fromfile(ROOT / 'configs/custom/_base_/data.py')
    own = {**own.target_labelled, 'data_root': str(root / 'real')}
    parts = dict(minitown=tiny.cityscapes(root, 'train'), real_streets=camvid)
    parts['real'] = own
    for name, part in parts.items():
        dataset = DATASETS.build(part)
        images = {
            role: labelled_images(dataset, [index])
            for index, role in enumerate(('train', 'choose'))
        }
        classes = tuple(dataset.metainfo['classes'])
        write_roles(root / f'{name}_roles.json', Roles(classes, images))


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
    (labels / METADATA).write_text(json.dumps(note))


def write_more_targets(root: Path) -> None:
    """Copy the target to where Dark Zurich and ACDC have theirs."""
    places = [('dark_zurich', 'rgb_anon/{}/night/a', 'gt/{}/night/a')]
    places += [('acdc', 'rgb_anon/fog/{}/a', 'gt/fog/{}/a')]
    city = root / 'cityscapes'
    for name, images, labels in places:
        for split in ('train', 'val'):
            files = sorted((city / 'leftImg8bit' / split).rglob('*.png'))
            for file in files:
                stem = file.name.removesuffix('_leftImg8bit.png')
                label = city / 'gtFine' / split / file.parent.name
                for source, folder, ending in (
                    (file, images, 'rgb_anon'),
                    (label / f'{stem}_gtFine_labelIds.png', labels, LABEL),
                ):
                    target = root / name / folder.format(split)
                    target.mkdir(parents=True, exist_ok=True)
                    shutil.copy(source, target / f'{stem}_{ending}.png')


def write_camvid(root: Path) -> None:
    """Write the target in CamVid's form: JPEG, ids 0 to 10 and 11 for void."""
    city = root / 'cityscapes'
    for split in ('train', 'val'):
        for path in sorted((city / 'leftImg8bit' / split).rglob('*.png')):
            stem = path.name.removesuffix('_leftImg8bit.png')
            image = root / 'camvid/images' / split / f'{stem}.jpg'
            image.parent.mkdir(parents=True, exist_ok=True)
            with Image.open(path) as one:
                one.save(image)
            ids = np.random.default_rng(0).integers(0, 12, SIZE, np.uint8)
            label = root / 'camvid/labels' / split / f'{stem}.png'
            tiny.save_image(label, ids)


def put_in(cfg: Config, towns: Path) -> None:
    """Put in tiny images."""
    for part in walk(cfg._cfg_dict):
        if 'data_root' in part:
            folder = Path(part['data_root']).name
            part['data_root'] = str(towns / folder)
        if 'roles' in part:
            pair = Path(part['roles']).parent.name
            part['roles'] = str(towns / f'{pair}_roles.json')
        if part.get('type') in RESIZES:
            part['scale'] = (SIZE[1], SIZE[1])
        if part.get('type') == 'Resize':
            # What was predicted at this size was: the images' own.
            part['scale'] = SIZE[::-1]
        part.pop('indices', None)
        if part.get('type') == 'PadMarked':
            part['size'] = SIZE[::-1]
        if part.get('type') in ('RandomCrop', 'RandomResizeCrop'):
            part['crop_size'] = SIZE
            part.pop('frame_size', None)
        if part.get('type') == 'MarkUntrusted':
            part.update(top=1, bottom=4, left=1, right=1)
        if 'block' in part:
            part['block'] = 16
        if 'detail_size' in part:
            part['detail_size'] = (SIZE[0] // 2, SIZE[1] // 2)
        if 'target_size' in part:
            part['target_size'] = SIZE
        if 'batch_size' in part:
            part.update(batch_size=2, num_workers=0, persistent_workers=False)


def shrink(cfg: Config, towns: Path) -> Config:
    """Put in tiny images and one iteration a stage, and no downloads."""
    put_in(cfg, towns)
    shrink_network(cfg)
    for margin in ('untrusted_top', 'untrusted_bottom'):
        if margin in cfg.model:
            cfg.model[margin] //= 512 // SIZE[0]
    set_iters(cfg, 1)
    if 'stages' in cfg.train_cfg:
        cfg.train_cfg.stages = 2
    cfg.train_cfg.val_begin = 1 + total_iters(cfg.train_cfg)
    cfg.start_from = cfg.load_from = None
    return cfg


def shrink_network(cfg: Config) -> None:
    """Put in random weights of few blocks."""
    encoder = cfg.model.get('encoder', {})  # VFM-UDA++'s frozen one
    if encoder:
        encoder.resize = (70, 70)
    others = encoder, cfg.model.get('foreign', {})
    for backbone in walk([cfg.model.backbone, *others]):
        backbone.pop('init_cfg', None)
        backbone.pop('pretrained', None)
        if 'folder' in backbone:  # of maps that are kept
            backbone.folder = None
        # Fewer blocks of the same kinds and widths: only the depth shrinks.
        if 'depth' in backbone and 'heads' not in backbone:
            backbone.depth = 50
        if 'num_layers' in backbone:
            backbone.num_layers = [1, 1, 1, 1]
        if isinstance(backbone.get('arch'), str) and (
            backbone.arch in DINOv2.archs and 'MobileNet' not in backbone.type
        ):
            arch = DINOv2.archs[backbone.arch]
            backbone.arch = dict(arch._asdict(), depth=4)
            if 'out_indices' in backbone:
                backbone.out_indices = (0, 1, 2, 3)


def finish_teachers(cfg: Config, folder: Path) -> None:
    """Let small networks of random weights be the finished runs that teach."""
    for number, part in enumerate(walk(cfg.model)):
        if part.get('checkpoint') and part.get('config'):
            teacher = Config.fromfile(part.config)
            shrink_network(teacher)
            part.config = student_model(teacher.model)
            part.checkpoint = str(folder / f'teacher_{number}.pth')
            state = MODELS.build(part.config).state_dict()
            torch.save(dict(state_dict=state), part.checkpoint)


def keep_no_checkpoint(cfg: Config) -> None:
    cfg.default_hooks.checkpoint.update(interval=-1, save_last=False)
    cfg.default_hooks.checkpoint.save_best = None


@pytest.mark.parametrize('path', STEPPED)
def test_a_step_a_stage(path: str, towns: Path, tmp_path: Path) -> None:
    cfg = Config.fromfile(ROOT / path)
    # What the learning rates are for is what one process has.
    assert cfg.auto_scale_lr.base_batch_size == cfg.train_dataloader.batch_size
    shrink(cfg, towns)
    finish_teachers(cfg, tmp_path)
    cfg.work_dir = str(tmp_path)
    cfg.experiment_name = path
    keep_no_checkpoint(cfg)  # hundreds of megabytes each
    runner = Runner.from_cfg(cfg)
    runner.train()
    assert runner.iter == total_iters(cfg.train_cfg)
    # Each iteration was a stage, whose teacher is its student's start.
    stage = getattr(runner.model, 'stage', None)
    assert stage is None or stage == cfg.train_cfg.stages
    assert 0 <= runner.val_loop.run()['mIoU'] <= 100


@pytest.mark.parametrize('path', SOURCE_FREE)
def test_a_step_without_the_source(path: str, towns: Path, tmp_path) -> None:
    cfg = Config.fromfile(ROOT / path)
    assert cfg.auto_scale_lr.base_batch_size == cfg.train_dataloader.batch_size
    shrink(cfg, towns)
    assert list(cfg.train_dataloader.dataset.domains) == ['target']
    state = MODELS.build(cfg.model).state_dict()
    for key in ('anchor_bank.anchors', 'anchor_bank.counts'):
        state[key] = torch.rand_like(state[key])
    state['source_pixels.prior'] = torch.full((19,), 1 / 19)
    state['pseudo_label_head.margin'] = torch.full((19,), 0.1)
    torch.save(dict(state_dict=state), tmp_path / 'source.pth')
    cfg.update(work_dir=str(tmp_path), experiment_name=path)
    cfg.load_from = str(tmp_path / 'source.pth')
    keep_no_checkpoint(cfg)
    runner = Runner.from_cfg(cfg)
    runner.train()
    assert runner.model.stage == 2
    assert 0 <= runner.val_loop.run()['mIoU'] <= 100


@pytest.mark.parametrize('path', FITTED_ONCE)
def test_anchors_are_fitted(path, towns, tmp_path, monkeypatch) -> None:
    cfg = Config.fromfile(ROOT / path)
    put_in(cfg, towns)
    shrink_network(cfg)
    cfg.dump(tmp_path / 'config.py')
    tool = str(ROOT / 'tools/fit_anchors.py')
    arguments = [tool, tmp_path / 'config.py', '--work-dir', tmp_path]
    monkeypatch.setattr('sys.argv', list(map(str, arguments)))
    runpy.run_path(tool, run_name='__main__')
    state = torch.load(tmp_path / 'anchors.pth', weights_only=True)
    weights = state['state_dict']
    assert weights['decode_head.anchor_bank.counts'].any()
    assert weights['decode_head.pseudo_label_head.margin'].isfinite().all()


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
    for part in (
        dataset.domains.source,
        dataset.domains.target,
        cfg.translate_dataloader,
    ):
        part = part.get('dataset', part)
        assert set(part.data_prefix) == {'img_path'}
        assert not any('Label' in step.type for step in part.pipeline)


@pytest.mark.parametrize('path', CONFIGS + SOURCE_FREE)
def test_no_adaptation_opens_a_target_label(path: str) -> None:
    dataset = Config.fromfile(ROOT / path).train_dataloader.dataset
    if dataset.type == 'UDADataset':
        for _, _, target in leaves(dataset.domains.get('target'), ''):
            steps = {step.type for step in (target or {}).get('pipeline', ())}
            # These read what a network has labelled, and nothing else.
            made = {'LoadPseudoLabels'} & steps
            assert not any('Label' in s or 'Annot' in s for s in steps - made)
            assert (
                made or not target or 'seg_map_path' not in target.data_prefix
            )


STAGES = [
    path
    for path in (ROOT / 'configs').rglob('*.py')
    if 'stage_iters' in path.read_text()
]


@pytest.mark.parametrize('path', STAGES, ids=lambda path: path.stem)
def test_harm_stops_a_run_within_its_first_stage(path: Path) -> None:
    cfg = Config.fromfile(path)
    loop = cfg.train_cfg
    settings = dict(cfg.get('default_hooks', {}).get('do_no_harm', {}))
    settings.pop('type', None)
    hook = DoNoHarmHook(**settings)
    spacing = loop.stage_iters // loop.get('vals_per_stage', 1)
    if hook.interval:
        spacing = min(spacing, hook.interval)
    assert hook.patience * spacing <= loop.stage_iters


@pytest.mark.parametrize('path', LOOPS)
def test_a_loop_can_be_planned(path: str, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(ROOT)
    cfg = Config.fromfile(path)
    cfg.update(work_dir=str(tmp_path), launcher='none')
    assert [step.name for step in load_steps(cfg)][-1].startswith('ssl')
