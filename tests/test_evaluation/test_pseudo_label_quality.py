# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path

import pytest
import torch
from mmseg.registry import MODELS

from mmseg_cag.analysis.evaluate import confusion, quality_of
from tests import tiny

TOOL = Path(__file__).parents[2] / 'tools/analysis/evaluate_pseudo_labels.py'


def test_precision_and_coverage_by_hand():
    #                road car  none
    counts = torch.tensor([[6, 2, 2], [0, 1, 9]])
    by_class, total = quality_of(counts, ['road', 'car'])
    assert by_class['road'] == (6 / 6, 8 / 10, 6, 10)
    assert by_class['car'] == (1 / 3, 1 / 10, 3, 10)
    assert total == (7 / 9, 9 / 20, 9, 20)


def test_nothing_to_divide_by():
    counts = torch.tensor([[0, 0, 5], [0, 0, 0]])
    by_class, total = quality_of(counts, ['road', 'car'])
    assert by_class['road'] == (None, 0, 0, 5)
    assert by_class['car'] == (None, None, 0, 0)
    assert total.precision is None


def test_counts_against_a_loop():
    shape = (2, 3, 5)
    truth, labels = torch.randint(0, 5, (2, *shape))
    truth[truth == 4] = 255
    labels[labels == 4] = 255
    expected = torch.zeros(4, 5, dtype=torch.int64)
    for y, p in zip(truth.flatten(), labels.flatten(), strict=True):
        if y != 255:
            expected[y, min(p, 4)] += 1
    assert torch.equal(confusion(truth, labels, 4), expected)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A config and a checkpoint whose anchors are drawn."""
    tiny.write_towns(tmp_path)
    cfg = tiny.run_config(tmp_path, tmp_path / 'run')
    cfg.model = tiny.cag(by=('anchor', 'probability'), margin=0.1)
    cfg.test_dataloader = cfg.val_dataloader
    cfg.test_evaluator = cfg.val_evaluator
    cfg.test_cfg = dict(type='TestLoop')
    cfg.dump(tmp_path / 'config.json')
    model = MODELS.build(cfg.model)
    model.anchor_bank.anchors.copy_(torch.rand(19, 8))
    model.anchor_bank.counts.fill_(1)
    torch.save({'state_dict': model.state_dict()}, tmp_path / 'net.pth')
    cfg.model = tiny.segmentor()
    cfg.dump(tmp_path / 'stock.json')
    return tmp_path


def call(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    monkeypatch.setattr(sys, 'argv', [str(TOOL), *map(str, arguments)])
    runpy.run_path(str(TOOL), run_name='__main__')


def test_the_tool_tells_and_writes(run, monkeypatch, capsys):
    folder = ('--out', run / 'figures.json', '--work-dir', run / 'log')
    call(monkeypatch, run / 'config.json', run / 'net.pth', *folder)
    shown = capsys.readouterr().out
    assert 'Pseudo labels by anchor' in shown and 'precision' in shown
    figures = json.loads((run / 'figures.json').read_text())
    assert list(figures) == ['anchor', 'probability']
    for of_kind in figures.values():
        assert len(of_kind) == 20
        total = of_kind.pop('all')
        assert 0 <= total['precision'] < 1 and 0 < total['coverage'] <= 1
        pixels = sum(row['pixels'] for row in of_kind.values())
        assert total['pixels'] == pixels
        # Two scenes at a quarter of their size; no ignored row is sampled.
        assert pixels == 2 * (tiny.SIZE[0] // 4) * (tiny.SIZE[1] // 4)
        assert of_kind['sky']['pixels'] and not of_kind['train']['pixels']


def test_a_method_without_pseudo_labels_is_refused(run, monkeypatch):
    folder = ('--work-dir', run / 'log')
    with pytest.raises(SystemExit, match='error: .*expected CAGSegmentor'):
        call(monkeypatch, run / 'stock.json', run / 'net.pth', *folder)


def test_a_checkpoint_without_anchors_is_refused(run, monkeypatch):
    path, out = run / 'source_only.pth', run / 'figures.json'
    weights = MODELS.build(tiny.segmentor()).state_dict()
    torch.save({'state_dict': weights}, path)
    folder = ('--out', out, '--work-dir', run / 'log')
    with pytest.raises(SystemExit, match='source_only.pth: has no anch') as e:
        call(monkeypatch, run / 'config.json', path, *folder)
    assert '\n' not in str(e.value) and not out.exists()


def test_labels_by_probability_need_no_anchors(run, monkeypatch, capsys):
    path = run / 'other.pth'
    torch.save({'state_dict': MODELS.build(tiny.cag()).state_dict()}, path)
    head = 'model.pseudo_label_head.by=probability,'
    options = ('--cfg-options', head, 'model.anchor_loss=None')
    folder = ('--work-dir', run / 'log')
    call(monkeypatch, run / 'config.json', path, *folder, *options)
    assert 'Pseudo labels by probability' in capsys.readouterr().out


def test_a_missing_file_is_named(run, monkeypatch):
    with pytest.raises(SystemExit, match='none.pth: file not found'):
        call(monkeypatch, run / 'config.json', run / 'none.pth')
