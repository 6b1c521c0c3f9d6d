# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import hashlib

import pytest

from mmseg_cag.fileio.checkpoints import BLOCK, checkpoint_hash


@pytest.mark.parametrize('size', [0, 5, BLOCK, 2 * BLOCK + 3])
def test_the_hash_is_of_the_whole_file(tmp_path, size):
    content = bytes(range(256)) * (size // 256 + 1)
    path = tmp_path / 'x.pth'
    path.write_bytes(content[:size])
    assert checkpoint_hash(path) == hashlib.sha256(content[:size]).hexdigest()


def test_no_checkpoint():
    with pytest.raises(FileNotFoundError, match='^none.pth: checkpoint not'):
        checkpoint_hash('none.pth')
