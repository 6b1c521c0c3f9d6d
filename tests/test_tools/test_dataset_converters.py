# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""The command lines that write labels as train ids."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests import tiny

TOOLS = Path(__file__).parents[2] / 'tools/dataset_converters'
WRITTEN = {
    'gta': 'labels/00001_labelTrainIds.png',
    'synthia': 'GT/LABELS/0000000_labelTrainIds.png',
    'cityscapes': 'gtFine/val/bern/'
    'bern_000000_000019_gtFine_labelTrainIds.png',
}


@pytest.fixture
def run(monkeypatch):
    def call(name: str, *args: object) -> None:
        path = str(TOOLS / f'{name}.py')
        monkeypatch.setattr(sys, 'argv', [path, *map(str, args)])
        runpy.run_path(path, run_name='__main__')

    return call


@pytest.fixture(params=WRITTEN)
def town(request, tmp_path):
    """Name, folder and the first label's train ids of a data set."""
    root = tmp_path / request.param
    if request.param == 'cityscapes':
        truth = tiny.write_cityscapes(root, 'val', 2)
    else:
        truth = getattr(tiny, f'write_{request.param}')(root, 2)
    return request.param, root, truth[0]


def test_labels_are_written_beside_or_elsewhere(town, run, tmp_path, capsys):
    name, root, truth = town
    for out, options in ((root, []), (tmp_path / 'o', ['-o', tmp_path / 'o'])):
        run(name, root, '--nproc', 1, *options)
        labels = np.asarray(Image.open(out / WRITTEN[name]))
        assert np.array_equal(labels, truth)
    printed = capsys.readouterr().out
    assert '2 written, 0 kept from an earlier run, 0 failed' in printed
    run(name, root, '--nproc', 1)
    assert '0 written, 2 kept' in capsys.readouterr().out


def test_a_failure_ends_with_1_and_its_name(town, run, capsys):
    name, root, _ = town
    first, second = sorted((root / WRITTEN[name]).parent.iterdir())
    first.write_bytes(b'')
    with pytest.raises(SystemExit) as caught:
        run(name, root, '--nproc', 1)
    assert str(caught.value.code).startswith(f'error: {first}: cannot be read')
    assert '1 written, 0 kept' in capsys.readouterr().out


def test_labels_without_a_class_are_a_failure(tmp_path, run):
    tiny.save_palette(tmp_path / 'labels/1.png', np.zeros((4, 4), np.uint8))
    with pytest.raises(SystemExit, match='no pixel belongs to a class'):
        run('gta', tmp_path, '--nproc', 1)


def test_a_folder_that_is_not_there(tmp_path, run):
    with pytest.raises(SystemExit, match='error: .*labels: no such folder'):
        run('gta', tmp_path)


def test_the_summary_counts_pixels_by_class(tmp_path, run, capsys):
    ids = np.zeros((10, 100), np.uint8)
    ids[:, :75] = 7
    ids[0, :75] = 26
    tiny.save_palette(tmp_path / 'labels/1.png', ids)
    run('gta', tmp_path, '--nproc', 1)
    lines = capsys.readouterr().out.splitlines()
    rows = {
        line.split('│')[1].strip(): line.split('│')[2:4]
        for line in lines
        if line.startswith('│')
    }
    assert [part.strip() for part in rows['road']] == ['675', '67.50%']
    assert [part.strip() for part in rows['car']] == ['75', '7.50%']
    assert [part.strip() for part in rows['ignored']] == ['250', '25.00%']
