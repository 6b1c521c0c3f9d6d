# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""The doctor's faults, met in training: a run stops, or skips the file."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner

from mmseg_cag.datasets.dataset_configs import require_images_of
from mmseg_cag.errors import UserError
from mmseg_cag.minitown.town import draw_minitown
from tests import planted_faults
from tests.doctor import gta_config, synthia_config
from tests.tiny import one_stage

STOPS = (
    planted_faults.truncated_image,
    planted_faults.truncated_label,
    planted_faults.changed_inside,
    planted_faults.changed_inside_a_label,
    planted_faults.label_of_another_size,
    planted_faults.missing_label,
    planted_faults.extra_image,
    planted_faults.unknown_ids,
    planted_faults.colours_for_ids,
    planted_faults.empty_split,
    planted_faults.no_folder,
    planted_faults.wrong_suffix,
    planted_faults.wrong_label_suffix,
    planted_faults.image_link_to_nowhere,
    planted_faults.label_link_to_nowhere,
    planted_faults.swapped_folders,
    planted_faults.game_as_target,
    planted_faults.one_domain_twice,
    planted_faults.classes_in_another_order,
)
SYNTHIA_STOPS = (
    planted_faults.synthia_of_8_bits,
    planted_faults.synthia_colours,
    planted_faults.synthia_sequence,
)
CASES = [
    *((fault, gta_config) for fault in STOPS),
    *((fault, synthia_config) for fault in SYNTHIA_STOPS),
]


@pytest.fixture(scope='module')
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp('drawn') / 'town'
    draw_minitown(
        root, size=(32, 64), source=4, target=4, val=3, synthia=3, workers=1
    )
    return root


@pytest.fixture
def town(drawn: Path, tmp_path: Path) -> Path:
    return shutil.copytree(drawn, tmp_path / 'town')


def train(cfg: Config) -> Runner:
    """Do what ``tools/train.py`` does."""
    require_images_of(cfg, 'train_dataloader', 'val_dataloader')
    runner = Runner.from_cfg(cfg)
    runner.train()
    return runner


@pytest.mark.parametrize(('fault', 'config'), CASES, ids=lambda c: c.__name__)
def test_a_fault_stops_the_run_in_one_line(town, fault, config):
    cfg = config(town)
    if config is synthia_config:
        one_stage(cfg, 6)
    _, where = fault(town, cfg)
    with pytest.raises(UserError) as caught:
        train(cfg)
    line = str(caught.value)
    place = (
        'classes'
        if fault is planted_faults.classes_in_another_order
        else where
    )
    assert place in line and '\n' not in line


def test_a_fault_in_a_worker_is_one_line_too(town):
    cfg = gta_config(town)
    cfg.train_dataloader.num_workers = 1
    _, where = planted_faults.changed_inside(town, cfg)
    with pytest.raises(UserError) as caught:
        train(cfg)
    assert where in str(caught.value) and '\n' not in str(caught.value)


def skipping(town: Path, workers: int, name: str) -> tuple[Runner, str]:
    """Train past bad files; returns the run and its log."""
    cfg = gta_config(town)
    cfg.work_dir = str(town.parent / name)
    cfg.experiment_name = f'{town.parent.name}_{name}'
    cfg.train_dataloader.dataset.skip_bad_files = True
    cfg.train_dataloader.num_workers = workers
    cfg.custom_hooks.append(dict(type='SkippedFilesHook'))
    runner = train(cfg)
    [log] = Path(cfg.work_dir).rglob('*.log')
    return runner, log.read_text()


def test_skipped_files_are_counted_and_listed_once(town):
    cfg = gta_config(town)
    planted_faults.truncated_image(town, cfg)
    planted_faults.unknown_ids(town, cfg)
    planted_faults.changed_inside(town, cfg)
    alone, log = skipping(town, 0, 'alone')
    lines = [line for line in log.splitlines() if ' times, ' in line]
    assert len(lines) == 3
    for path, reason in (
        ('gta/images/00002.png', 'truncated'),
        ('gta/images/00003.png', '77'),
        ('ahornau_000000_000019_leftImg8bit.png', 'failed to load'),
    ):
        [line] = [line for line in lines if f'{path}: ' in line]
        assert reason in line
    assert '3 bad files were skipped' in log
    many, log = skipping(town, 2, 'many')
    assert [x for x in log.splitlines() if ' times, ' in x] == lines
    for name, weight in alone.model.state_dict().items():
        assert torch.equal(weight, many.model.state_dict()[name]), name


def test_nothing_is_listed_where_nothing_was_skipped(town):
    _, log = skipping(town, 0, 'good')
    assert 'were skipped' not in log


def test_structural_faults_are_not_skipped(town):
    cfg = gta_config(town)
    cfg.train_dataloader.dataset.skip_bad_files = True
    planted_faults.swapped_folders(town, cfg)
    with pytest.raises(UserError, match='named like Cityscapes'):
        train(cfg)


def test_evaluation_never_skips(town):
    cfg = gta_config(town)
    cfg.train_dataloader.dataset.skip_bad_files = True
    planted_faults.label_link_to_nowhere(town, cfg)
    with pytest.raises(UserError, match='broken link'):
        train(cfg)
