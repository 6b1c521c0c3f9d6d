# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""The doctor's faults, met in training: a run stops, or skips the file."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner

from mmseg_cag.datasets.minitown import draw_minitown
from mmseg_cag.datasets.require_images import require_images_of
from mmseg_cag.errors import UserError
from tests import faults
from tests.doctor import gta_config, synthia_config

STOPS = (
    faults.truncated_image,
    faults.truncated_label,
    faults.changed_inside,
    faults.changed_inside_a_label,
    faults.label_of_another_size,
    faults.missing_label,
    faults.extra_image,
    faults.unknown_ids,
    faults.colours_for_ids,
    faults.empty_split,
    faults.no_folder,
    faults.wrong_suffix,
    faults.wrong_label_suffix,
    faults.image_link_to_nowhere,
    faults.label_link_to_nowhere,
    faults.swapped_folders,
    faults.game_as_target,
    faults.one_domain_twice,
    faults.classes_in_another_order,
)
SYNTHIA_STOPS = (
    faults.synthia_of_8_bits,
    faults.synthia_colours,
    faults.synthia_sequence,
)
CASES = [
    *((fault, gta_config) for fault in STOPS),
    *((fault, synthia_config) for fault in SYNTHIA_STOPS),
]


@pytest.fixture(autouse=True, scope='module')
def unformatted() -> Iterator[None]:
    """Spare the runner the formatting of its config, most of its time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Config, 'pretty_text', property(repr))
        yield


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
    # Left to the garbage collector, workers take seconds to end.
    runner.train_loop.dataloader_iterator = None
    return runner


@pytest.mark.parametrize(('fault', 'config'), CASES, ids=lambda c: c.__name__)
def test_a_fault_stops_the_run_in_one_line(town, fault, config):
    cfg = config(town)
    if config is synthia_config:
        cfg.custom_hooks.pop()  # the labeler's, which needs anchors
    _, where = fault(town, cfg)
    with pytest.raises(UserError) as caught:
        train(cfg)
    line = str(caught.value)
    place = 'classes' if fault is faults.classes_in_another_order else where
    assert place in line and '\n' not in line


def test_a_fault_in_a_worker_is_one_line_too(town):
    cfg = gta_config(town)
    cfg.train_dataloader.num_workers = 1
    _, where = faults.changed_inside(town, cfg)
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
    faults.truncated_image(town, cfg)
    faults.unknown_ids(town, cfg)
    faults.changed_inside(town, cfg)
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
    faults.swapped_folders(town, cfg)
    with pytest.raises(UserError, match='named as in Cityscapes'):
        train(cfg)


def test_evaluation_never_skips(town):
    cfg = gta_config(town)
    cfg.train_dataloader.dataset.skip_bad_files = True
    faults.label_link_to_nowhere(town, cfg)
    with pytest.raises(UserError, match='link to nowhere'):
        train(cfg)
