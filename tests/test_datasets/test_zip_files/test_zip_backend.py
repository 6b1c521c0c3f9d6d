# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile

import numpy as np
import pytest
from mmengine import fileio

from mmseg_cag.errors import MissingFileError, UserError
from mmseg_cag.fileio.zip_backend import ZipBackend, open_file

FILES = {
    'images/a/1.png': b'one' * 999,
    'images/a/2.png': b'two',
    'images/a/.hidden.png': b'',
    'images/3.txt': 'drei: ß'.encode(),
    'labels/1.png': b'label',
    'README': b'read',
}


@pytest.fixture(params=[ZIP_STORED, ZIP_DEFLATED])
def town(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """Files on the disk and, beside them, the same in two zip files."""
    (tmp_path / 'zips').mkdir()
    for name, content in FILES.items():
        path = tmp_path / 'plain' / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    for name in ('images', 'labels'):
        target = tmp_path / 'zips' / f'01_{name}.zip'
        with ZipFile(target, 'w', request.param) as archive:
            archive.writestr('README', FILES['README'])
            for member, content in FILES.items():
                if member.startswith(name):
                    archive.writestr(member, content)
    return tmp_path


def test_every_question_is_answered_as_on_a_local_disk(town):
    plain, zips = str(town / 'plain'), f'zip://{town}/zips'
    for name in (*FILES, '', 'images', 'images/a', 'none', 'images/none/1'):
        for ask in (fileio.exists, fileio.isfile, fileio.isdir):
            place = fileio.join_path(zips, name)
            assert place.startswith('zip://')
            assert ask(place) == ask(os.path.join(plain, name)), (ask, name)
    for name, content in FILES.items():
        path = f'{zips}/{name}'
        assert fileio.get(path) == content
        with fileio.get_local_path(path) as local:
            assert Path(local).read_bytes() == content
            assert local.endswith(Path(name).name)
        assert not Path(local).exists()
        with open_file(path) as file:
            assert file.read(2) == content[:2]
    assert fileio.get_text(f'{zips}/images/3.txt') == 'drei: ß'


@pytest.mark.parametrize('folder', ['', 'images', 'images/a', 'labels/'])
@pytest.mark.parametrize('recursive', [True, False])
@pytest.mark.parametrize('wanted', [(True, True), (False, True), (True, 0)])
def test_listings_are_those_of_a_local_disk(town, folder, recursive, wanted):
    folders, files = wanted
    options = dict(list_dir=folders, list_file=files, recursive=recursive)
    if not folders:
        options['suffix'] = '.png'
    roots = (f'{town}/plain', f'zip://{town}/zips')
    plain, zipped = (
        sorted(fileio.list_dir_or_file(f'{root}/{folder}', **options))
        for root in roots
    )
    assert plain == zipped


def test_one_zip_file_is_a_folder(town):
    path = f'zip://{town}/zips/01_images.zip'
    assert fileio.isdir(path)
    assert fileio.get(f'{path}/images/a/2.png') == b'two'
    assert not fileio.exists(f'{path}/labels/1.png')
    backend = dict(backend='zip')  # the same without the prefix
    path = town / 'zips/01_images.zip/images/a/2.png'
    assert fileio.get(path, backend_args=backend) == b'two'


def test_folders_below_a_data_root_do_not_matter(town):
    # As where the user unpacked the images but not the labels.
    (town / 'zips/images/a').mkdir(parents=True)
    (town / 'zips/images/a/1.png').write_bytes(b'another')
    assert fileio.get(f'zip://{town}/zips/images/a/1.png').startswith(b'one')


def test_relative_paths(town, monkeypatch):
    monkeypatch.chdir(town)
    assert ZipBackend().get('zip://zips/labels/1.png') == b'label'
    monkeypatch.chdir(town / 'zips')
    assert ZipBackend().get('zip://labels/1.png') == b'label'
    assert ZipBackend().get('zip://./images/../labels/1.png') == b'label'


def test_what_is_not_there_is_named(town):
    zips = f'zip://{town}/zips'
    with pytest.raises(MissingFileError, match='zips/images/9.png: no such'):
        fileio.get(f'{zips}/images/9.png')
    with pytest.raises(MissingFileError, match='zips/none: no such folder'):
        list(fileio.list_dir_or_file(f'{zips}/none'))
    with pytest.raises(MissingFileError, match='plain/images/a: no zip file'):
        fileio.get(f'zip://{town}/plain/images/a/1.png')
    with pytest.raises(TypeError, match='suffix'):
        list(fileio.list_dir_or_file(zips, suffix='.png'))


@pytest.mark.parametrize('name', ['./a/1.png', 'a//1.png', 'a\\1.png'])
def test_names_as_other_programs_write_them(tmp_path, name):
    with ZipFile(tmp_path / 'a.zip', 'w') as archive:
        archive.writestr('./', b'')
        archive.writestr('./a/', b'')
        archive.writestr(name, b'one')
    place = f'zip://{tmp_path}'
    names = ZipBackend().list_dir_or_file(place, recursive=True)
    assert list(names) == ['a', 'a/1.png']
    assert ZipBackend().get(f'{place}/a/1.png') == b'one'


@pytest.mark.parametrize('name', ['../out', 'a/../../b', '/etc/x', 'a\\..\\b'])
def test_a_member_that_leads_out_is_refused(tmp_path, name):
    with ZipFile(tmp_path / 'bad.zip', 'w') as archive:
        archive.writestr(name, b'')
    with pytest.raises(UserError, match=r'bad\.zip: its member .* leads out'):
        ZipBackend().isdir(f'zip://{tmp_path}/images')


def test_the_same_name_twice(tmp_path):
    for part, content in {'1': b'one', '2': b'two'}.items():
        with ZipFile(tmp_path / f'{part}.zip', 'w') as archive:
            archive.writestr('README', content)
            archive.writestr('licence', b'same')
    backend = ZipBackend()
    assert backend.get(f'zip://{tmp_path}/licence') == b'same'
    with pytest.raises(UserError, match='1.zip and .*2.zip hold different'):
        backend.get(f'zip://{tmp_path}/README')


def test_a_download_that_was_cut(town):
    path = town / 'zips/01_labels.zip'
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(UserError, match=r'01_labels\.zip: cannot be read as'):
        ZipBackend().isdir(f'zip://{town}/zips/images')


def test_a_damaged_member(town):
    path = town / 'zips/01_images.zip'
    content = bytearray(path.read_bytes())
    with ZipFile(path) as archive:
        info = archive.getinfo('images/a/1.png')
    content[info.header_offset + 30 + len(info.filename) + 2] ^= 255
    path.write_bytes(content)
    with pytest.raises(UserError, match=r'a/1\.png: cannot .*01_images\.zip'):
        ZipBackend().get(f'zip://{town}/zips/images/a/1.png')
    assert ZipBackend().get(f'zip://{town}/zips/images/a/2.png') == b'two'


def test_an_encrypted_member(tmp_path):
    path = tmp_path / 'a.zip'
    with ZipFile(path, 'w') as archive:
        archive.writestr('x', b'secret')
    content = bytearray(path.read_bytes())
    content[6] |= 1  # the flag, in the member's header and in the list
    content[content.index(b'PK\x01\x02') + 8] |= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match='password'):
        ZipBackend().get(f'zip://{path}/x')


def test_threads_share_a_handle(town):
    backend = ZipBackend()
    names = ['images/a/1.png', 'images/a/2.png', 'labels/1.png'] * 50
    start = threading.Barrier(4)

    def read(worker):
        start.wait()
        return [
            backend.get(f'zip://{town}/zips/{n}') == FILES[n] for n in names
        ]

    with ThreadPoolExecutor(4) as pool:
        assert all(map(all, pool.map(read, range(4))))


def test_a_forked_process_opens_its_own(tmp_path):
    """With a shared file position, each would read the other's bytes."""
    rng = np.random.default_rng(0)
    files = {str(i): rng.bytes(100_000) for i in range(20)}
    with ZipFile(tmp_path / 'a.zip', 'w') as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    backend = ZipBackend()

    def reads_right() -> bool:
        return all(
            backend.get(f'zip://{tmp_path}/{name}') == content
            for _ in range(10)
            for name, content in files.items()
        )

    assert reads_right()
    children = []
    for _ in range(2):
        if (child := os.fork()) == 0:
            right = False
            try:
                right = reads_right()
            finally:
                os._exit(0 if right else 1)
        children.append(child)
    assert reads_right()
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0]
