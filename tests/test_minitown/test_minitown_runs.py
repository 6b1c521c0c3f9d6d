# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import pytest

from mmseg_cag.minitown.runs import Budget, MinitownRuns

SMALL = Budget(images=(2, 2, 1, 1), size=(32, 64))


def runs(tmp_path, budget=SMALL):
    return MinitownRuns(tmp_path / 'data', tmp_path / 'runs', 0, budget)


def test_towns_are_drawn_once(tmp_path):
    seconds = runs(tmp_path).draw()
    image = tmp_path / 'data/gta/images/00001.png'
    written = image.stat().st_mtime_ns
    assert runs(tmp_path).draw() == seconds
    assert image.stat().st_mtime_ns == written


def test_other_towns_and_foreign_files_survive(tmp_path):
    foreign = tmp_path / 'data/gta/images/00001.png'
    foreign.parent.mkdir(parents=True)
    foreign.write_text('mine')
    for budget in (SMALL, Budget(images=(3, 2, 1, 1), size=(32, 64))):
        with pytest.raises(ValueError, match='minitown never draws into'):
            runs(tmp_path, budget).draw()
    assert foreign.read_text() == 'mine'


def test_results_depend_on_the_towns_and_on_what_came_before(tmp_path):
    def fingerprint(name, **changes):
        return runs(tmp_path, Budget(**changes))._training(name).fingerprint

    first = fingerprint('cag')
    assert fingerprint('cag') == first
    assert fingerprint('cag', images=(5, 5, 2, 1)) != first
    assert fingerprint('cag', supervised_iters=7) != first
    assert fingerprint('source_only', stage_iters=7) == fingerprint(
        'source_only'
    )


def test_the_size_reaches_the_augmentation(tmp_path):
    cfg = runs(tmp_path).config('cag')
    steps = cfg.train_dataloader.dataset.domains.target.pipeline
    crops = [step.crop_size for step in steps if step.type == 'RandomCrop']
    assert crops == [(32, 64)]


def test_checkpoints_are_those_at_the_ends_of_stages(tmp_path):
    budget = Budget(supervised_iters=4, stage_iters=6)
    names = [p.name for p in runs(tmp_path, budget).checkpoints('cag')]
    assert names == ['iter_6.pth', 'iter_12.pth', 'iter_18.pth']
    [last] = runs(tmp_path, budget).checkpoints('source_only')
    assert last.name == 'iter_4.pth'
