# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""No label of the target at all: the normal case of the field."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from figures.make import FIGURES, Choices
from mmengine.config import Config
from mmseg.registry import DATASETS

from mmseg_cag.analysis.evaluate import evaluate
from mmseg_cag.analysis.model_selection.score_run import score_run
from mmseg_cag.analysis.report.write import write_report
from mmseg_cag.analysis.runs.run import Run, open_run
from mmseg_cag.datasets.dataset_configs import target_config
from mmseg_cag.engine.runtime.norm_statistics import target_loader
from mmseg_cag.errors import UserError
from mmseg_cag.inference.demo.network import load_network
from mmseg_cag.inference.demo.show import View, show_images
from mmseg_cag.inference.export_student import (
    student_checkpoint,
    student_config,
    student_meta,
)
from mmseg_cag.models.student import student_pipeline
from mmseg_cag.workflows.pseudo_labels.make import make_pseudo_labels
from tests import finished

EVALUATION = [
    f'{mode}_{part}'
    for mode in ('val', 'test')
    for part in ('dataloader', 'evaluator', 'cfg')
]
STEPS = ['LoadImageFromFile', 'PackSegInputs']


@pytest.fixture(params=['None', 'absent'])
def run(request, tmp_path: Path) -> Run:
    """A finished run whose config evaluates nothing."""
    folder = finished.write_run(tmp_path)
    shutil.rmtree(tmp_path / 'cityscapes/gtFine')
    cfg = Config.fromfile(folder / 'config.py')
    cfg.test_pipeline = [dict(type=step) for step in STEPS]
    for key in EVALUATION:
        cfg.pop(key, None)
        if request.param == 'None':
            cfg[key] = None
    lines = [f'{key} = {value!r}' for key, value in cfg.to_dict().items()]
    (folder / 'config.py').write_text('\n'.join(lines))
    return open_run(folder)


def checkpoint_of(run: Run) -> Path:
    return [*run.checkpoints.values()][-1]


def test_its_network_can_be_taken_out(run, tmp_path):
    assert [step.type for step in student_pipeline(run.cfg)] == STEPS
    exported = student_config(run.cfg)
    assert [step.type for step in exported.test_pipeline] == STEPS
    meta = student_checkpoint(run.cfg, checkpoint_of(run))['meta']
    classes = DATASETS.get('CityscapesDataset').METAINFO['classes']
    assert meta['dataset_meta']['classes'] == classes == tuple(run.classes)


def test_its_network_can_be_shown(run, tmp_path):
    content = torch.load(checkpoint_of(run))
    content['meta']['cfg'] = (run.folder / 'config.py').read_text()
    content['meta']['cfg'] = content['meta']['cfg'].replace("'tests.tiny'", '')
    path = tmp_path / 'told.pth'
    torch.save(content, path)
    view = View(load_network(path))
    images = tmp_path / 'cityscapes/leftImg8bit/val'
    assert len(show_images(images, tmp_path / 'shown', view)) > 0


def test_the_target_can_be_labelled(run, tmp_path):
    cfg = run.cfg.copy()
    cfg.launcher, cfg.work_dir = 'none', str(tmp_path / 'work')
    note = make_pseudo_labels(cfg, checkpoint_of(run), tmp_path / 'labels')
    written = [*(tmp_path / 'labels').rglob('*.png')]
    assert len(written) == note['images'] == 5


def test_its_checkpoints_can_be_scored(run):
    scores = score_run(run, images=2, pixels=20, evaluates=False)
    assert len(scores['scores'] if 'scores' in scores else scores) > 0
    with pytest.raises(UserError, match='test_dataloader: not set'):
        evaluate(run.cfg, checkpoint_of(run), run.folder / 'work')


def test_it_can_be_reported(run):
    text = write_report([run.folder], run.folder / 'a.html', 2).read_text()
    assert 'Ground truth of' not in text
    assert 'data:image/webp' in text  # the target's images are pictured


@pytest.mark.parametrize('name', ['pseudo_labels', 'panels', 'features'])
def test_it_can_be_drawn(run, name):
    out = run.folder / name
    FIGURES[name](run, out, Choices(images=2))
    assert out.with_suffix('.png').is_file()


def test_batch_norms_can_be_estimated(run):
    loader = target_loader(run.cfg)
    assert loader['batch_size'] == 1
    assert [step['type'] for step in loader['dataset']['pipeline']] == STEPS


def test_what_is_evaluated_comes_first():
    source, target, val = (dict(type=name) for name in ('A', 'B', 'C'))
    domains = dict(source=source, target=target)
    train = dict(dataset=dict(type='UDADataset', domains=domains))
    cfg = Config(dict(train_dataloader=train))
    assert target_config(cfg).type == 'B'
    cfg.val_dataloader = dict(dataset=val)
    assert target_config(cfg).type == 'C'
    assert target_config({}) is None


def test_classes_without_colours_get_those_of_mmseg():
    dataset = dict(type='BaseSegDataset', metainfo=dict(classes=('a', 'b')))
    cfg = Config(dict(train_dataloader=dict(dataset=dataset)))
    built = DATASETS.build(
        dict(dataset, lazy_init=True, data_prefix=dict(img_path='x'))
    )
    meta = student_meta(cfg, {})
    assert meta['palette'] == built.metainfo['palette']
    assert Run(Path(), cfg).metainfo['palette'] == meta['palette']
    with pytest.raises(UserError, match='metainfo.classes: not set'):
        student_meta(Config(dict()), {})


def test_a_config_that_tests_nothing_names_what_it_lacks():
    with pytest.raises(UserError, match='test_pipeline: not set'):
        student_pipeline(Config(dict(test_dataloader=None)))
