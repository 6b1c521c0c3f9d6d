# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""The scores of a run's checkpoints: no target label enters them."""

from __future__ import annotations

import json
import math
import runpy
import shutil
import sys
from pathlib import Path

import pytest

from mmseg_cag.analysis.evaluate import evaluate
from mmseg_cag.analysis.model_selection.choose import to_markdown
from mmseg_cag.analysis.model_selection.score_run import Scorer, score_run
from mmseg_cag.analysis.runs.run import open_run
from mmseg_cag.errors import UserError
from tests import finished

ROOT = Path(__file__).parents[2]
TOOL = 'tools/analysis/score_checkpoints.py'


@pytest.fixture
def folder(tmp_path):
    return finished.write_run(tmp_path)


def call(monkeypatch, *arguments):
    monkeypatch.setattr(sys, 'argv', [TOOL, *map(str, arguments)])
    runpy.run_path(str(ROOT / TOOL), run_name='__main__')


def test_target_labels_do_not_enter(folder):
    run = open_run(folder)
    first = score_run(run, 4, 200, evaluates=False)
    assert [row['iter'] for row in first] == [3, 6]
    assert [row['stage'] for row in first] == [1, 2]
    assert first[0]['entropy'] != first[1]['entropy']
    assert all(row['mIoU'] is None for row in first)
    written = json.loads((folder / 'scores.json').read_text())
    assert written['scores'] == first
    shutil.rmtree(folder.parent / 'cityscapes/gtFine')
    assert score_run(run, 4, 200, evaluates=False) == first


def test_source_labels_do(folder):
    run = open_run(folder)
    first = score_run(run, 7, 200, evaluates=False)
    files = sorted((folder.parent / 'gta/labels').iterdir())
    for path in files[1:]:
        shutil.copy(files[0], path)
    second = score_run(run, 7, 200, evaluates=False)
    changed = {key for key in first[0] if first[0][key] != second[0][key]}
    assert changed == {'source_mIoU'}


def test_the_command(folder, tmp_path, monkeypatch, capsys):
    plain = finished.make_plain(folder)
    (folder / 'validation.json').write_text('{"3": {"mIoU": 31.5}}')
    out = tmp_path / 'out' / 'scores.md'
    options = ('--images', 2, '--pixels', 50, '--out', out)
    call(monkeypatch, folder, plain, '--evaluate', *options)
    text = out.read_text()
    assert text in capsys.readouterr().out
    assert f'### {folder}\n' in text and '### All of them' in text
    assert '| plain/iter_3.pth | – |' in text
    first, second = json.loads((folder / 'scores.json').read_text())['scores']
    assert first['mIoU'] == 31.5
    run = open_run(folder)
    measured = evaluate(run.cfg, run.checkpoints[6], tmp_path / 'log')
    assert second['mIoU'] == measured
    [row] = json.loads((plain / 'scores.json').read_text())['scores']
    assert row['stage'] is None and row['mIoU'] is not None


def test_an_undefined_score_selects_nothing(folder, monkeypatch):
    run = open_run(folder)
    names = ('entropy', 'snd', 'agreement', 'source_mIoU')

    def score(_, checkpoint: Path) -> dict[str, float]:
        is_last = checkpoint == run.checkpoints[6]
        return dict.fromkeys(names, math.nan if is_last else 0.5)

    monkeypatch.setattr(Scorer, '__call__', score)
    scores = score_run(run, 1, 9, evaluates=False)
    assert {scores[1][name] for name in names} == {None}
    text = (folder / 'scores.json').read_text()
    chosen = json.loads(text)['choices']
    assert {chosen[name]['checkpoint'] for name in names} == {'iter_3.pth'}
    assert 'NaN' not in text and 'Infinity' not in text
    assert '| iter_6.pth | 2 | – |' in to_markdown('', scores, chosen)

    def fail(*args: object) -> None:
        raise UserError('none')

    # A failing evaluation loses no score.
    (folder / 'scores.json').unlink()
    monkeypatch.setattr(
        'mmseg_cag.analysis.model_selection.score_run.evaluate', fail
    )
    with pytest.raises(UserError, match='none'):
        score_run(run, 1, 9, evaluates=True)
    assert json.loads((folder / 'scores.json').read_text())['scores'] == scores


def test_images_to_evaluate_are_asked_for_first(folder, monkeypatch):
    with pytest.raises(SystemExit) as caught:
        call(
            *(monkeypatch, folder, '--evaluate'),
            *('--cfg-options', 'test_dataloader=None'),
        )
    assert 'run: test_dataloader is not set' in caught.value.code
    assert not (folder / 'scores.json').exists()


def damage(folder: Path, how: str) -> None:
    if how == 'checkpoint':
        (folder / 'iter_6.pth').write_bytes(b'no checkpoint')
    elif how == 'none':
        for path in folder.glob('*.pth'):
            path.unlink()
    elif how == 'notes':
        (folder / 'validation.json').write_text('[1')
    elif how in ('gta', 'cityscapes'):
        shutil.rmtree(folder.parent / how)


@pytest.mark.parametrize(
    ('how', 'line'),
    [
        ('checkpoint', 'iter_6.pth: refused, it is unreadable'),
        ('none', 'run: no checkpoint iter_*.pth'),
        ('notes', 'validation.json: not readable as JSON'),
        ('gta', 'no folder'),
        ('cityscapes', 'train_dataloader.dataset.domains.target: no folder'),
    ],
)
def test_what_cannot_be_scored(folder, monkeypatch, tmp_path, how, line):
    damage(folder, how)
    options = ('--images', 1, '--pixels', 9, '--out', tmp_path / 'x.md')
    with pytest.raises(SystemExit) as caught:
        call(monkeypatch, folder, *options)
    message = caught.value.code
    assert message.startswith('error: ') and line in message
    assert '\n' not in message
    assert not (folder / 'scores.json').exists()
