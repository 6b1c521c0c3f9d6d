# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import json

import pytest

from mmseg_cag.minitown.step import Step

RECIPE = dict(seed=1, size=[2, 3], deep=dict(rate=0.1))


class Work:
    """Leaves a file for each call; fails in the calls that it is told."""

    def __init__(self, folder, failing=()) -> None:
        self.folder, self.failing, self.calls = folder, failing, 0

    def __call__(self) -> None:
        self.calls += 1
        (self.folder / f'call_{self.calls}').touch()
        if self.calls in self.failing:
            raise KeyboardInterrupt


@pytest.fixture
def folder(tmp_path):
    return tmp_path / 'runs' / 'one'


@pytest.fixture
def clock(monkeypatch):
    """Each look at the clock is ten seconds after the last."""
    now = iter(range(0, 10_000, 10))
    monkeypatch.setattr('time.monotonic', lambda: next(now))


def test_a_complete_step_is_reused(folder, clock):
    work = Work(folder)
    assert not Step('Train', folder, RECIPE).is_complete
    assert Step('Train', folder, RECIPE).run(work) == 10
    assert Step('Train', folder, RECIPE).is_complete
    assert Step('Train', folder, RECIPE).run(work) == 10
    assert work.calls == 1


def test_the_order_of_keys_and_tuples_is_no_change(folder):
    work = Work(folder)
    Step('Train', folder, RECIPE).run(work)
    same = dict(deep=dict(rate=0.1), size=(2, 3), seed=1)
    Step('Another name', folder, same).run(work)
    assert work.calls == 1


@pytest.mark.parametrize(
    'change', [dict(seed=2), dict(deep=dict(rate=0.2)), dict(more=1)]
)
def test_a_changed_recipe_clears_the_folder(folder, change):
    work = Work(folder)
    Step('Train', folder, RECIPE).run(work)
    other = Step('Train', folder, {**RECIPE, **change})
    assert not other.is_complete
    other.run(work)
    assert work.calls == 2
    assert sorted(p.name for p in folder.iterdir()) == ['call_2', 'step.json']
    assert other.is_complete
    assert not Step('Train', folder, RECIPE).is_complete


def test_an_interrupted_step_goes_on(folder, clock):
    work = Work(folder, failing=[1, 2])
    step = Step('Train', folder, RECIPE)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            step.run(work)
        assert not step.is_complete
    assert step.run(work) == 30  # of three attempts
    assert {'call_1', 'call_2', 'call_3'} < {
        path.name for path in folder.iterdir()
    }
    step.run(work)
    assert work.calls == 3


def test_an_interrupted_step_of_another_recipe_starts_afresh(folder):
    work = Work(folder, failing=[1])
    with pytest.raises(KeyboardInterrupt):
        Step('Train', folder, RECIPE).run(work)
    Step('Train', folder, {**RECIPE, 'seed': 2}).run(work)
    assert not (folder / 'call_1').exists()
    assert (folder / 'call_2').exists()


def test_a_process_killed_outright_goes_on(folder):
    seen = []

    def killed() -> None:
        seen.append((folder / 'step.json').read_text())
        (folder / 'kept').touch()

    step = Step('Train', folder, RECIPE)
    step.run(killed)
    # What stands in the folder while the work is on, and no more.
    (folder / 'step.json').write_text(seen[0])
    assert not step.is_complete
    work = Work(folder)
    step.run(work)
    assert work.calls == 1
    assert (folder / 'kept').exists()


def test_the_folder_names_its_recipe(folder):
    Step('Train', folder, RECIPE).run(lambda: None)
    assert json.loads((folder / 'step.json').read_text())['recipe'] == RECIPE
