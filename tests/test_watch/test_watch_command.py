# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""``python -m mmseg_cag.watch``, and what it can do without."""

from __future__ import annotations

import json
import runpy
from argparse import Namespace
from pathlib import Path

import cv2
import numpy as np
import pytest

from mmseg_cag.errors import UserError
from mmseg_cag.watch.__main__ import main
from tests.watched import draw, look_without_torch, write_network

ROOT = Path(__file__).parents[2]


def write_frames(folder: Path, frames: list[np.ndarray]) -> Path:
    folder.mkdir()
    for i, frame in enumerate(frames):
        cv2.imwrite(str(folder / f'{i:04d}.png'), frame)
    return folder


@pytest.fixture
def run(monkeypatch, capsys):
    def run(*arguments: object) -> str:
        monkeypatch.setattr('sys.argv', ['watch', *map(str, arguments)])
        main()
        return capsys.readouterr().out

    return run


@pytest.fixture
def watched(network, run, tmp_path) -> Path:
    frames = write_frames(tmp_path / 'normal', draw(100, seed=0))
    run(network, frames, '--make-card', '--correlation', 2)
    return network


def test_a_shift_is_told_and_its_frames_are_kept(watched, run, tmp_path):
    frames = draw(60, seed=1) + draw(40, seed=2, darker=0.4)
    folder = write_frames(tmp_path / 'frames', frames)
    out = tmp_path / 'out'
    text = run(watched, folder, '--out', out, '--keep', 5)
    lines = list(map(json.loads, (out / 'watch.jsonl').open()))
    told = [line['frame'] for line in lines if line['alarms']]
    assert len(lines) == 100 and 60 < min(told) <= 75
    assert f'frame {min(told)}: alarm, ' in text and '100 frames' in text
    kept = sorted((out / 'kept').iterdir())
    assert len(kept) == 5 and all(int(path.stem) > 60 for path in kept)
    number = int(kept[0].stem)
    assert (cv2.imread(str(kept[0])) == frames[number - 1]).all()
    record = (out / 'watch.jsonl').read_bytes()
    with pytest.raises(SystemExit, match='frames of another watch, expected'):
        run(watched, folder, '--out', out)
    assert sorted((out / 'kept').iterdir()) == kept
    assert (out / 'watch.jsonl').read_bytes() == record


def test_frames_of_several_sizes_are_watched(run, tmp_path):
    network = write_network(tmp_path / 'any.onnx', size=('H', 'W'))
    frames = draw(60, seed=0)
    folder = write_frames(tmp_path / 'normal', frames)
    run(network, folder, '--make-card', '--correlation', 2)
    cropped = [frame[: 24 + 8 * (n % 2)] for n, frame in enumerate(frames)]
    mixed = write_frames(tmp_path / 'mixed', cropped)
    assert '60 frames' in run(network, mixed, '--out', tmp_path / 'out')
    lines = list(map(json.loads, (tmp_path / 'out/watch.jsonl').open()))
    assert not any('flicker' in line for line in lines)


def test_the_benchmark_needs_frames_of_one_size(tmp_path):
    network = write_network(tmp_path / 'any.onnx', size=('H', 'W'))
    tool = runpy.run_path(str(ROOT / 'tools/benchmarks/benchmark_watch.py'))
    with pytest.raises(UserError, match='any.onnx: takes frames of any size'):
        tool['check'](Namespace(network=network))


@pytest.mark.parametrize(
    ('option', 'value', 'least'),
    [
        ('--frames-per-false-alarm', 0, 1),
        ('--frames-per-false-alarm', 0.1, 1),
        ('--frames-per-false-alarm', 'nan', 1),
        ('--correlation', 0, 1),
        ('--threads', 0, 1),
        ('--keep', -1, 0),
    ],
)
def test_numbers_out_of_range_are_refused(
    option, value, least, monkeypatch, capsys
):
    monkeypatch.setattr('sys.argv', ['watch', 'x', 'y', option, str(value)])
    with pytest.raises(SystemExit):
        main()
    expected = f'{option}: expected {least} or more'
    assert expected in capsys.readouterr().err


def test_a_video_is_watched(watched, run, tmp_path):
    path = str(tmp_path / 'frames.avi')
    codec = cv2.VideoWriter_fourcc(*'MJPG')
    video = cv2.VideoWriter(path, codec, 25, (128, 64))  # twice the size
    for frame in draw(10, seed=4):
        video.write(frame.repeat(2, 0).repeat(2, 1))
    video.release()
    assert '10 frames' in run(watched, path)


def test_a_watch_needs_numpy_and_onnxruntime_alone(watched):
    done = look_without_torch(watched, ROOT)
    assert done.stdout == f'{ROOT}\n[]\n[]\n', done.stderr


def test_what_is_wrong_is_said_in_one_line(watched, run, tmp_path):
    empty = tmp_path / 'empty'
    empty.mkdir()
    text = tmp_path / 'text.png'
    text.write_text('no image')
    other = write_network(tmp_path / 'other.onnx', -np.eye(4, 3, dtype='f4'))
    card = watched.with_suffix('.card.json')
    for arguments, message in (
        ((watched, empty), f'{empty}: no images in this folder'),
        ((watched, tmp_path / 'gone'), 'gone: no such folder or video'),
        ((watched, text), f'{text}: expected a folder of images or a video'),
        ((watched, tmp_path / 'normal', '--card', 'x'), 'x: card not found'),
        ((other, empty, '--card', card), f'{card}: the card of another'),
    ):
        with pytest.raises(SystemExit) as caught:
            run(*arguments)
        assert message in str(caught.value)
        assert str(caught.value).startswith('error: ')
        assert '\n' not in str(caught.value)
    written = tmp_path / 'out/watch.jsonl'
    written.parent.mkdir()
    written.write_text('kept')
    with pytest.raises(SystemExit, match='gone: no such folder'):
        run(watched, tmp_path / 'gone', '--out', written.parent)
    assert written.read_text() == 'kept'
    text.rename(empty / 'text.png')
    with pytest.raises(SystemExit, match=r'text\.png: cannot be decoded'):
        run(watched, empty)
