# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = str(ROOT / 'tools/benchmarks/benchmark_data.py')


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    monkeypatch.setattr(sys, 'argv', [SCRIPT, *map(str, arguments)])
    runpy.run_path(SCRIPT, run_name='__main__')


SMALL = ('--frames', 2, '--draws', 3, '--shrink', 8)


def test_what_it_writes(monkeypatch, tmp_path, capsys):
    path, document = tmp_path / 'speed.json', tmp_path / 'speed.md'
    document.write_text('# x\n<!-- results -->\n<!-- end of results -->\n')
    run(monkeypatch, *SMALL, '--json', path, '--doc', document)
    results = json.loads(path.read_text())
    for forms in results['loading'].values():
        assert list(forms) == ['stock', 'windowed', 'cached']
        for figures in forms.values():
            assert 0 < figures['p10'] <= figures['median'] <= figures['p90']
        assert 'RandomCrop' in forms['stock']['steps']
        assert 'RandomResizeCrop' in forms['cached']['steps']
    # Three bytes an image pixel and one a label pixel, and the headers.
    pixels = (1052 // 8) * (1914 // 8)
    entries = results['cache']['source, one filter']['megabytes'] * 1e6
    assert 4 * pixels < entries < 4 * pixels + 500
    window = results['window']
    assert window['above_one_ppm'] == 0
    assert window['image_percent'] < 0.5
    assert window['label_percent'] == 0
    shown = capsys.readouterr().out
    assert 'windowed' in shown and 'Cache, target' in shown
    assert '| windowed |' in document.read_text()


def test_a_document_without_marks_is_named(monkeypatch, tmp_path):
    document = tmp_path / 'speed.md'
    document.write_text('# x\n')
    with pytest.raises(SystemExit, match=r'error: .*speed\.md: expected'):
        run(monkeypatch, *SMALL, '--doc', document)
