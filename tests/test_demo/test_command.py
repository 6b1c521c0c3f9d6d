# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import os
import runpy
import subprocess
import sys
from pathlib import Path

import cv2
import pytest
import torch

ROOT = Path(__file__).parents[2]
TOOL = ROOT / 'tools/demo.py'


@pytest.fixture
def demo(monkeypatch):
    def run(*arguments: object) -> None:
        monkeypatch.setattr('sys.argv', [str(TOOL), *map(str, arguments)])
        runpy.run_path(str(TOOL), run_name='__main__')

    return run


def test_a_folder_goes_where_run_and_input_are_named(
    demo, checkpoint, images, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    demo(checkpoint, images, '--side-by-side', '--opacity', 1)
    shown = cv2.imread('work_dirs/demo/run_iter_6/images/a.png')
    image = cv2.imread(str(images / 'a.png'))
    assert (shown[:, : image.shape[1]] == image).all()
    colours = shown[:, image.shape[1] :, ::-1].reshape(-1, 3)
    palette = [[10 * i, 255 - 10 * i, 7 * i] for i in range(19)]
    assert all(colour in palette for colour in colours.tolist())
    assert 'images' in capsys.readouterr().out


def test_an_exported_student_needs_no_config(
    demo, checkpoint, images, tmp_path, monkeypatch
):
    export = ROOT / 'tools/model_converters/export_student.py'
    config = tmp_path / 'run.py'
    content = torch.load(checkpoint, weights_only=False)
    config.write_text(content['meta']['cfg'])
    student = tmp_path / 'student.pth'
    command = [str(export), str(config), str(checkpoint), str(student)]
    monkeypatch.setattr('sys.argv', command)
    runpy.run_path(str(export), run_name='__main__')
    for name, path in (('run', checkpoint), ('student', student)):
        demo(path, images / 'a.png', '--out', tmp_path / name)
    actual, expected = (
        (tmp_path / name / 'a.png').read_bytes() for name in ('student', 'run')
    )
    assert actual == expected


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['gone.pth', '.'], 'error: .: no images in this folder'),
        (['gone.pth', 'x'], 'error: x: no such image, folder or video'),
        (['gone.pth', '--gradio'], 'error: gone.pth: checkpoint not found'),
    ],
)
def test_errors_are_one_line(arguments, message, demo, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as caught:
        demo(*arguments)
    assert str(caught.value).startswith(message)
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize(
    'arguments',
    [['x.pth'], ['x.pth', 'y', '--gradio'], ['x', 'y', '--opacity', '2']],
)
def test_what_does_not_fit_together_is_refused(arguments, demo, capsys):
    with pytest.raises(SystemExit) as caught:
        demo(*arguments)
    assert caught.value.code == 2 and 'expected' in capsys.readouterr().err


@pytest.mark.long
def test_a_broken_video_is_one_line_on_the_terminal(checkpoint, tmp_path):
    (tmp_path / 'x.mp4').write_bytes(b'no video')
    done = subprocess.run(
        [sys.executable, '-W', 'ignore', TOOL, checkpoint, 'x.mp4'],
        cwd=tmp_path,
        text=True,
        capture_output=True,
        check=False,
        env={**os.environ, 'PYTHONPATH': str(ROOT)},
    )
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert lines[-1] == 'error: x.mp4: not readable as a video'
    assert not any('moov' in line for line in lines)
