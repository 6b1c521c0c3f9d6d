# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Files that editors and systems leave are no images of a data set."""

from __future__ import annotations

import os
import shutil
import zipfile
from pathlib import Path

import pytest
from mmengine import fileio
from mmengine.config import Config
from mmseg.registry import DATASETS

from mmseg_cag.data_check.examine import examine
from mmseg_cag.fileio.images import is_hidden
from mmseg_cag.fileio.safe_config import load_config
from mmseg_cag.inference.demo.show import find_images
from tests import tiny

LEFT = [
    '.ipynb_checkpoints/a-checkpoint.png',
    '@eaDir/a.png/SYNOPHOTO_THUMB_M.png',
    'below/.thumbnails/a.png',
    '__MACOSX/._a.png',
    '#recycle/a.png',
    '._a.png',
]


@pytest.mark.parametrize('name', LEFT)
def test_what_systems_leave_is_hidden(name):
    assert is_hidden(name)


def test_what_people_name_is_not():
    for name in ('a.png', 'b/a.png', '@home/a.png', '#1/a.png', 'a/x.b/.'):
        assert not is_hidden(name)


@pytest.fixture
def folder(tmp_path) -> Path:
    root = tmp_path / '.data'  # what is asked for may itself be hidden
    for name in ('a.png', 'b/c.png', *LEFT):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b'')
    return root


def listed(folder: str) -> set[str]:
    names = fileio.list_dir_or_file(
        folder, list_dir=False, suffix='.png', recursive=True
    )
    return {*names}


def test_data_sets_and_the_demo_do_not_see_them(folder, tmp_path):
    assert listed(str(folder)) == {'a.png', 'b/c.png'}
    names = {str(path.relative_to(folder)) for path in find_images(folder)}
    assert names == {'a.png', 'b/c.png'}
    with zipfile.ZipFile(tmp_path / 'data.zip', 'w') as archive:
        for path in folder.rglob('*.png'):
            archive.write(path, path.relative_to(folder))
    assert listed(f'zip://{tmp_path}/data.zip') == {'a.png', 'b/c.png'}


def findings(cfg: dict) -> dict[str, str]:
    report = examine(Config(dict(train_dataloader=dict(dataset=cfg))), 2, 1)
    return {f.name: f.where for f in report.all_findings}


def test_the_check_counts_them_and_minds_no_lock_file(tmp_path):
    tiny.write_gta(tmp_path / 'gta')
    images = tmp_path / 'gta/images'
    expected = findings(tiny.gta(tmp_path))
    os.symlink('me@host.1:2', images / '.#00001.png')  # of an editor
    (images / '@eaDir').mkdir()
    shutil.copy(images / '00001.png', images / '@eaDir')
    found = findings(tiny.gta(tmp_path))
    assert found.pop('hidden files') == str(images / '.#00001.png')
    assert found == expected
    assert len(DATASETS.build(tiny.gta(tmp_path))) == 7
    (images / '.#00001.png').unlink()
    # A link that no list asks for does not matter.
    os.symlink('gone', images / 'other.png')
    assert findings(tiny.gta(tmp_path))['broken link'] == str(
        images / 'other.png'
    )
    (tmp_path / 'gta/names.txt').write_text('00001\n')
    cfg = dict(tiny.gta(tmp_path), ann_file='names.txt')
    assert 'broken link' not in findings(cfg)


QUOTED = ["o'brien/data", 'a"b', 'C:\\new\\data', 'x\'\\"y', 'data']


@pytest.mark.parametrize('value', QUOTED)
def test_a_root_may_have_quotes(tmp_path, monkeypatch, value):
    path = tmp_path / 'a.py'
    path.write_text("root = '{{$SOME_ROOT:data}}/below'\n")
    monkeypatch.setenv('SOME_ROOT', value)
    assert load_config(path).root == f'{value}/below'
    assert os.environ['SOME_ROOT'] == value


def test_a_config_that_is_no_python(tmp_path):
    path = tmp_path / 'a.py'
    path.write_text('model = dict(\n')
    with pytest.raises(ValueError, match=r'a\.py: invalid Python, ') as info:
        load_config(path)
    assert '\n' not in str(info.value)
    folder = tmp_path / "o'brien"
    folder.mkdir()
    path = folder / 'a.py'
    path.write_text("start_from = '{{ fileDirname }}/b.py'\n")
    with pytest.raises(ValueError, match='has a quote in its name'):
        load_config(path)
