# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import pickle
from collections import OrderedDict

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer

from mmseg_cag.errors import UserError
from mmseg_cag.fileio.safe_load import safe_load
from tests.hostile import Hostile


@pytest.fixture
def marker(tmp_path):
    return tmp_path / 'ran'


@pytest.mark.parametrize('zipped', [True, False])
def test_hostile_file_is_refused_and_does_not_run(tmp_path, marker, zipped):
    path = tmp_path / 'hostile.pth'
    torch.save(
        {'model_state': Hostile(marker)},
        path,
        _use_new_zipfile_serialization=zipped,
    )
    with pytest.raises(ValueError, match=r'hostile\.pth: .*system') as caught:
        safe_load(path)
    assert '\n' not in str(caught.value)
    assert not marker.exists()
    # The same file does run where the reader trusts it.
    torch.load(path, weights_only=False)
    assert marker.exists()


def test_bare_hostile_pickle_is_refused(tmp_path, marker):
    path = tmp_path / 'hostile.pkl'
    path.write_bytes(pickle.dumps(Hostile(marker), protocol=2))
    with pytest.raises(ValueError, match=r'hostile\.pkl'):
        safe_load(path)
    assert not marker.exists()


@pytest.mark.parametrize('content', [b'', b'not a checkpoint'])
def test_other_bytes_are_refused(tmp_path, content):
    path = tmp_path / 'other.pth'
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r'other\.pth: .*unreadable'):
        safe_load(path)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match='nowhere'):
        safe_load(tmp_path / 'nowhere.pth')


def test_tensors_arrays_and_scalars_are_read(tmp_path):
    path = tmp_path / 'plain.pth'
    content = {
        'tensor': torch.arange(3.0),
        'array': np.arange(6.0).reshape(2, 3),
        'best_iou': np.float64(0.5),
        'iter': 7,
    }
    torch.save(content, path)
    loaded = safe_load(path)
    assert torch.equal(loaded['tensor'], content['tensor'])
    np.testing.assert_array_equal(loaded['array'], content['array'])
    assert (loaded['best_iou'], loaded['iter']) == (0.5, 7)


class Attribute:
    """Takes an attribute where it is unpickled."""

    def __reduce__(self):
        return getattr, (OrderedDict, 'fromkeys')


def test_getattr_gives_the_statistics_of_a_history_alone(tmp_path):
    path = tmp_path / 'run.pth'
    history = HistoryBuffer()
    history.update(0.5)
    torch.save({'loss': history}, path)
    loaded = safe_load(path)['loss']
    assert loaded.statistics('mean') == 0.5
    torch.save({'attribute': Attribute()}, path)
    with pytest.raises(UserError, match='getattr'):
        safe_load(path)
