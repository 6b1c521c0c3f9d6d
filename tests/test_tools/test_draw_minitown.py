# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import runpy
from pathlib import Path

from PIL import Image

TOOL = Path(__file__).parents[2] / 'tools/draw_minitown.py'


def test_towns_and_their_sheet_are_drawn(tmp_path, monkeypatch):
    counts = ('source', 'target', 'val', 'synthia')
    arguments = [word for name in counts for word in (f'--{name}', '2')]
    sheet = tmp_path / 'sheet.png'
    monkeypatch.setattr(
        'sys.argv',
        [
            *(str(TOOL), str(tmp_path / 'towns'), '--size', '32', '64'),
            *arguments,
            *('--workers', '1', '--sheet', str(sheet)),
        ],
    )
    runpy.run_path(str(TOOL), run_name='__main__')
    assert (
        len(list((tmp_path / 'towns').rglob('leftImg8bit/val/**/*.png'))) == 2
    )
    assert Image.open(sheet).width > 64
