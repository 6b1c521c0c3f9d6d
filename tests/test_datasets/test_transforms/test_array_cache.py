# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import errno
import os
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest

from mmseg_cag.datasets.transforms.loading import open_cache
from mmseg_cag.fileio.array_cache import ArrayCache

ARRAY = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)


class Maker:
    """Counts how often it is asked."""

    def __init__(self, array: np.ndarray = ARRAY) -> None:
        self.array, self.calls = array, 0

    def __call__(self) -> np.ndarray:
        self.calls += 1
        return self.array


@pytest.fixture
def source(tmp_path: Path) -> str:
    path = tmp_path / 'a.png'
    path.write_bytes(b'first')
    return str(path)


@pytest.fixture
def cache(tmp_path: Path) -> ArrayCache:
    return ArrayCache(str(tmp_path / 'cache'))


def entries(cache: ArrayCache) -> list[Path]:
    return [path for path in cache.folder.rglob('*') if path.is_file()]


def test_an_array_is_made_once(cache, source):
    make = Maker()
    for _ in range(3):
        array = cache.get(source, 'image', make)
        assert isinstance(array, np.memmap) and not array.flags.writeable
        assert np.array_equal(array, ARRAY)
    assert make.calls == 1 and len(entries(cache)) == 1


def test_files_and_contents_are_kept_apart(cache, source, tmp_path):
    other = tmp_path / 'b.png'
    other.write_bytes(b'first')
    cache.get(source, 'image', Maker())
    for path, content in ((source, 'labels'), (str(other), 'image')):
        different = Maker(ARRAY + 1)
        given = cache.get(path, content, different)
        assert different.calls == 1
        assert np.array_equal(given, ARRAY + 1)
    again = Maker()
    assert np.array_equal(cache.get(source, 'image', again), ARRAY)
    assert again.calls == 0


def change_size(path: Path) -> None:
    status = path.stat()
    path.write_bytes(b'second')
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def change_time(path: Path) -> None:
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1_000_000_000))


@pytest.mark.parametrize('change', [change_size, change_time])
def test_a_changed_source_is_read_again(cache, source, change):
    cache.get(source, 'image', Maker())
    change(Path(source))
    fresh = Maker(ARRAY + 1)
    assert np.array_equal(cache.get(source, 'image', fresh), ARRAY + 1)
    assert fresh.calls == 1 and len(entries(cache)) == 1  # in its place


@pytest.mark.parametrize('length', [0, 10, 130, -1])
def test_a_cut_entry_is_made_again(cache, source, length):
    cache.get(source, 'image', Maker())
    (entry,) = entries(cache)
    entry.write_bytes(entry.read_bytes()[:length])
    fresh = Maker()
    assert np.array_equal(cache.get(source, 'image', fresh), ARRAY)
    assert fresh.calls == 1


def test_a_full_disk_is_said_in_one_line(cache, source, monkeypatch):
    def save(file, array, **_):
        file.write(b'half')
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(np, 'save', save)
    with pytest.raises(ValueError, match='No space left') as caught:
        cache.get(source, 'image', Maker())
    assert str(cache.folder) in str(caught.value)
    assert '\n' not in str(caught.value)
    assert entries(cache) == []  # not even the part


def test_a_folder_that_cannot_be_made(source):
    with pytest.raises(ValueError, match='cannot write') as caught:
        ArrayCache(source).get(source, 'image', Maker())
    assert source in str(caught.value)


def test_errors_of_reading_pass_and_leave_nothing(cache, source):
    def fail():
        raise ValueError('a.png: damaged')

    with pytest.raises(ValueError, match='damaged'):
        cache.get(source, 'image', fail)
    assert not cache.folder.exists()


def test_members_of_a_zip_file_have_its_time(cache, source):
    inside = f'zip://{source}/images/1.png'
    cache.get(inside, 'image', Maker())
    kept = Maker()
    cache.get(inside, 'image', kept)
    change_time(Path(source))
    fresh = Maker()
    cache.get(inside, 'image', fresh)
    assert (kept.calls, fresh.calls) == (0, 1)


def fill(folder: str, source: str, start) -> None:
    start.wait()
    for name in 'abcdefgh':
        ArrayCache(folder).get(source, name, lambda: ARRAY)


def test_processes_fill_one_folder_together(cache, source):
    context = get_context('fork')
    start = context.Barrier(3)
    workers = [
        context.Process(target=fill, args=(cache.folder, source, start))
        for _ in range(3)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    assert len(entries(cache)) == 8


@pytest.mark.parametrize('folder', [None, 'off'])
def test_no_cache(folder):
    assert open_cache(folder) is None
