# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Reports of runs in every state, and what the file needs."""

from __future__ import annotations

import re
import runpy
import shutil
from pathlib import Path

import pytest

from mmseg_cag.report.page import SECTIONS
from mmseg_cag.report.write import write_report

SPIKE = '<script>window.spiked = true</script>'  # a class of the run
TOOL = Path(__file__).parents[2] / 'tools/analysis/report.py'


def write(*folders: Path) -> str:
    out = folders[0].parent / 'out.html'
    text = write_report(folders, out, images=2).read_text()
    # The program that draws the charts speaks of scripts, too.
    return re.sub(r'<script>.*?</script>', '', text, flags=re.S)


def test_a_finished_run_is_shown_whole_and_its_names_escaped(finished):
    page = write(finished)
    for name in SECTIONS:
        assert f'<section id="{name}"' in page
    assert SPIKE not in page and '&lt;script&gt;window.spiked' in page
    assert 'chart-confusion-1' in page and 'chart-anchors-1' in page
    assert page.count('class="slider"') == 2
    assert 'finished, 6 iterations' in page
    assert 'not recorded: alarms' in page
    assert not re.search(r'(src|href)="(?!data:|#)', page)
    assert (finished.parent / 'out.html').stat().st_size < 15e6


def test_runs_stand_side_by_side(finished):
    page = write(finished, finished.parent / 'source')
    assert '>source</th>' in page and '>cag</th>' in page


@pytest.mark.parametrize(
    ('harm', 'said'),
    [
        ('begun', 'not recorded: mIoU'),
        ('damaged', 'iter_6.pth'),
        ('no images', 'not recorded: validation images'),
        ('half a line', '1 of 3 lines left out'),
        ('other version', 'no config'),
    ],
)
def test_a_broken_work_dir_says_what_is_missing(harm, said, finished):
    vis_data = finished / '20260101_000000/vis_data'
    if harm == 'begun':
        shutil.rmtree(finished.parent / 'source')
        for path in finished.glob('*.pth'):
            path.unlink()
    elif harm == 'damaged':
        (finished / 'iter_6.pth').write_bytes(b'damaged')
        (finished / 'validation.json').write_text('{')
    elif harm == 'no images':
        config = vis_data / 'config.py'
        config.write_text(
            config.read_text().replace('leftImg8bit/val', 'gone')
        )
    elif harm == 'half a line':
        with (vis_data / 'scalars.json').open('a') as stream:
            stream.write('{"loss": 0.5, "it')
    else:
        (vis_data / 'config.py').write_text('model = unknown()')
    assert said in write(finished)


@pytest.mark.parametrize('made', [False, True])
def test_no_work_dir_is_one_line(made, tmp_path, monkeypatch):
    folder = tmp_path / 'none'
    if made:
        folder.mkdir()
    monkeypatch.setattr('sys.argv', [str(TOOL), str(folder)])
    with pytest.raises(SystemExit) as caught:
        runpy.run_path(str(TOOL), run_name='__main__')
    message = str(caught.value)
    assert message.startswith(f'error: {folder}') and '\n' not in message
