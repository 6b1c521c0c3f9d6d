# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Checkpoints are written whole, and those that are not are told."""

from __future__ import annotations

import errno
import os
import resource

import pytest
import torch
from mmengine.fileio import get_file_backend

from mmseg_cag.fileio.atomic import atomic_write
from mmseg_cag.fileio.checkpoints import find_corruption


@pytest.fixture
def checkpoint(tmp_path):
    path = tmp_path / 'iter_1.pth'
    torch.save({'a': torch.arange(3000), 'b': {'c': torch.ones(7)}}, path)
    return path


def test_a_whole_one_is_whole(checkpoint):
    assert find_corruption(checkpoint) is None


@pytest.mark.parametrize('share', [0, 0.001, 0.1, 0.5, 0.9, 0.999])
def test_a_cut_one_is_not(checkpoint, share):
    os.truncate(checkpoint, int(checkpoint.stat().st_size * share))
    assert find_corruption(checkpoint)


def test_altered_weights_are_told_by_their_name(checkpoint):
    content = bytearray(checkpoint.read_bytes())
    content[len(content) // 2] ^= 1
    checkpoint.write_bytes(content)
    assert '/data/' in find_corruption(checkpoint)


def test_a_file_is_there_in_full_or_not_at_all(tmp_path):
    path = tmp_path / 'folder' / 'x.pth'
    backend = get_file_backend(backend_args=dict(backend='atomic'))
    backend.put(b'old', str(path))
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (9, hard))
    try:
        with pytest.raises(OSError) as caught:
            atomic_write(path, b'new and too long')
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    assert caught.value.errno == errno.EFBIG
    assert path.read_bytes() == b'old'
    assert list(path.parent.iterdir()) == [path]
    backend.put_text('new', path)
    assert path.read_text() == 'new'
