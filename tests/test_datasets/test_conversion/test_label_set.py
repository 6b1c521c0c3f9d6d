# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from label_set import Conversion, convert_labels
from PIL import Image

from mmseg_cag.errors import MissingFileError, UserError
from tests import tiny


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    """Labels of GTA5 in two folders."""
    folder = tmp_path / 'labels'
    tiny.write_gta(tmp_path, 4)
    (folder / 'more').mkdir()
    shutil.move(folder / '00004.png', folder / 'more/00004.png')
    return folder


def convert(folder: Path, out: Path | None = None, **kwargs) -> Conversion:
    options = {'ids': 'gta', 'suffix': '.png', 'workers': 1, **kwargs}
    return convert_labels(folder, out or folder, **options)


def outputs(folder: Path) -> dict[str, bytes]:
    paths = sorted(folder.rglob('*_labelTrainIds.png'))
    return {str(p.relative_to(folder)): p.read_bytes() for p in paths}


def test_all_files_at_the_same_relative_paths(labels, tmp_path):
    steps = []
    out = tmp_path / 'out'
    result = convert(labels, out, progress=lambda *step: steps.append(step))
    names = [f'0000{i}_labelTrainIds.png' for i in (1, 2, 3)]
    assert [*outputs(out)] == [*names, 'more/00004_labelTrainIds.png']
    assert steps == [(i, 4) for i in (1, 2, 3, 4)]
    counts = Counter()
    for name in outputs(out):
        with Image.open(out / name) as image:
            assert image.mode == 'L'
            counts.update(np.asarray(image).ravel().tolist())
    assert result == Conversion(counts, written=4)
    assert set(counts) == {*tiny.USED, tiny.VOID}
    assert not [p for p in out.rglob('*') if p.suffix == '.part']
    assert len(list(labels.rglob('*'))) == 5  # the source is as it was


def test_any_number_of_processes_writes_the_same(labels, tmp_path):
    one = convert(labels, tmp_path / 'one')
    assert one == convert(labels, tmp_path / 'two', workers=2)
    assert outputs(tmp_path / 'one') == outputs(tmp_path / 'two')


def test_a_second_run_keeps_what_is_done(labels):
    first = convert(labels)
    times = {p: p.stat().st_mtime_ns for p in labels.rglob('*.png')}
    again = convert(labels)
    assert (again.written, again.kept) == (0, 4)
    assert again.pixels == first.pixels
    assert times == {p: p.stat().st_mtime_ns for p in labels.rglob('*.png')}


@pytest.mark.parametrize('older', [True, False])
def test_a_changed_source_is_done_again(labels, older):
    convert(labels)
    path = labels / '00002.png'
    moment = path.stat().st_mtime + (-1000 if older else 1000)
    shutil.copy(labels / '00003.png', path)
    os.utime(path, (moment, moment))
    result = convert(labels)
    assert (result.written, result.kept) == (1, 3)
    done = outputs(labels)
    two, three = '00002_labelTrainIds.png', '00003_labelTrainIds.png'
    pixels = [np.asarray(Image.open(labels / n)) for n in (two, three)]
    assert np.array_equal(*pixels) and two in done


@pytest.mark.parametrize('left', [0, 20, -1])
def test_an_output_that_was_cut_is_done_again(labels, left):
    convert(labels)
    wanted = outputs(labels)
    path = labels / '00001_labelTrainIds.png'
    path.write_bytes(path.read_bytes()[:left])
    assert convert(labels).written == 1
    assert outputs(labels) == wanted


def test_files_that_fail_are_named_and_the_others_converted(labels):
    (labels / '00001.png').write_bytes(b'no image')
    unknown = np.full((4, 4), 77, np.uint8)
    tiny.save_palette(labels / '00003.png', unknown)
    result = convert(labels)
    assert result.written == 2
    first, second = result.failures
    assert '00001.png: cannot be read as a gta label map' in first
    assert '00003.png: unknown label id(s) 77' in second
    assert not (labels / '00001_labelTrainIds.png').exists()


def test_a_disk_that_is_full_fails_by_name(labels, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(Image.Image, 'save', full)
    result = convert(labels)
    assert len(result.failures) == 4 and not result.written
    assert all('No space left' in line for line in result.failures)
    assert not outputs(labels)
    monkeypatch.undo()
    assert convert(labels).written == 4
    assert not list(labels.rglob('*.part'))


def test_what_another_program_wrote_is_not_replaced(labels):
    path = labels / '00001_labelTrainIds.png'
    tiny.save_image(path, np.zeros((4, 4), np.uint8))
    content = path.read_bytes()
    [failure] = convert(labels).failures
    assert f'{path}: was not written by this converter' in failure
    assert path.read_bytes() == content


def test_nothing_outside_is_read_or_written(labels, tmp_path):
    outside = tmp_path / 'outside'
    outside.mkdir()
    shutil.move(labels / '00001.png', outside / '1.png')
    (labels / '00001.png').symlink_to(outside / '1.png')
    (labels / 'linked').symlink_to(outside)
    (labels / 'gone.png').symlink_to(tmp_path / 'nowhere')
    out = tmp_path / 'out'
    out.mkdir()
    (out / 'more').symlink_to(outside)
    (out / '00002_labelTrainIds.png').symlink_to(outside / '2.png')
    result = convert(labels, out)
    assert result.written == 1
    texts = '\n'.join(result.failures)
    for name in ('00001.png', 'gone.png', 'more'):
        assert f'{name}: leads to' in texts
    for name in ('linked', '00002_labelTrainIds.png'):
        assert f'{name}: is a symlink' in texts
    assert len(result.failures) == 5
    assert [p.name for p in outside.iterdir()] == ['1.png']


def test_a_data_set_that_is_itself_linked(labels, tmp_path):
    (tmp_path / 'link').symlink_to(labels)
    assert convert(tmp_path / 'link').written == 4


def test_folders_without_labels(tmp_path):
    with pytest.raises(MissingFileError, match='none: no such folder'):
        convert(tmp_path / 'none')
    with pytest.raises(UserError, match=r'no label file, .* \*\.png'):
        convert(tmp_path)


def run_in_group(*args) -> None:
    os.setpgrp()
    convert(*args, workers=2)


def test_a_killed_run_leaves_no_half_file_and_goes_on(tmp_path):
    labels, out = tmp_path / 'labels', tmp_path / 'out'
    noise = np.random.default_rng(0).integers(0, 35, (200, 500), np.uint8)
    tiny.save_palette(labels / '000.png', noise)
    for index in range(1, 60):
        shutil.copy(labels / '000.png', labels / f'{index:03d}.png')
    done = 0
    for _ in range(3):
        process = multiprocessing.get_context('fork').Process(
            target=run_in_group, args=(labels, out)
        )
        process.start()
        while process.is_alive() and len(outputs(out)) < done + 3:
            time.sleep(0.002)
        os.killpg(process.pid, signal.SIGKILL)
        process.join()
        done = len(outputs(out))
    assert 9 <= done < 60
    values = {content for content in outputs(out).values()}
    result = convert(labels, out)
    assert (result.written, result.kept) == (60 - done, done)
    first = np.asarray(Image.open(out / '000_labelTrainIds.png'))
    for name in outputs(out):
        assert np.array_equal(np.asarray(Image.open(out / name)), first)
    assert values <= set(outputs(out).values())
    assert not list(out.rglob('*.part'))


def test_a_process_that_is_ended(labels, monkeypatch):
    def die(*args):
        os.kill(os.getpid(), signal.SIGKILL)

    name = 'label_set.convert_file'
    monkeypatch.setattr(name, die)
    with pytest.raises(UserError, match='run the command again'):
        convert(labels)
