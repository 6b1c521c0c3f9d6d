# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import os

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer, MessageHub
from mmengine.runner import CheckpointLoader

from mmseg_cag.engine.records.provenance import read_provenance
from mmseg_cag.errors import MissingFileError, UserError
from mmseg_cag.fileio.safe_load import (
    SAFE,
    UNSAFE,
    load_safely,
    register_safe_loaders,
)
from tests.hostile import Hostile


@pytest.fixture
def marker(tmp_path):
    return tmp_path / 'ran'


@pytest.fixture
def hostile(tmp_path, marker):
    path = tmp_path / 'hostile.pth'
    torch.save({'state_dict': {}, 'meta': Hostile(marker)}, path)
    return path


@pytest.mark.parametrize(
    'load', [CheckpointLoader.load_checkpoint, read_provenance]
)
def test_a_hostile_checkpoint_is_refused_in_one_line(hostile, marker, load):
    with pytest.raises(UserError, match=r'hostile\.pth: .*system') as caught:
        load(str(hostile))
    assert '\n' not in str(caught.value)
    assert not marker.exists()


def test_it_is_refused_whatever_the_environment_wishes(
    hostile, marker, monkeypatch
):
    monkeypatch.setenv(UNSAFE, '1')
    with pytest.raises(UserError):
        CheckpointLoader.load_checkpoint(str(hostile))
    assert not marker.exists()


def trusting(path, map_location=None):
    """A loader of mmengine's for files that are elsewhere."""
    return torch.load(path, map_location, weights_only=False)


def test_loaders_of_other_places_are_made_safe(hostile, marker, monkeypatch):
    monkeypatch.setenv(UNSAFE, '1')
    with pytest.raises(UserError, match='system'):
        load_safely(trusting)(str(hostile))
    assert not marker.exists()
    # Meanwhile only: what others load is theirs to judge.
    assert (os.environ.get(SAFE), os.environ[UNSAFE]) == (None, '1')
    trusting(hostile)
    assert marker.exists()


def test_every_place_is_covered_once():
    before = dict(CheckpointLoader._schemes)
    assert {'', 'https://', 'open-mmlab://'} <= before.keys()
    assert all(
        loader.__module__ == 'mmseg_cag.fileio.safe_load'
        or hasattr(loader, '__wrapped__')
        for loader in before.values()
    )
    register_safe_loaders()
    assert CheckpointLoader._schemes == before


def test_what_a_failed_download_says_stays():
    def broken(path, map_location=None):
        raise OSError('no route')

    with pytest.raises(OSError, match='no route'):
        load_safely(broken)('https://nowhere/a.pth')


def test_the_curves_of_a_message_hub_are_read(tmp_path):
    hub = MessageHub.get_instance('of_this_test')
    for value in (1.0, 2.0, 4.0):
        hub.update_scalar('train/loss', value)
    hub.update_info('best', np.float32(3))
    hub.update_info('rate', np.float64(0.5))
    path = tmp_path / 'iter_3.pth'
    torch.save({'message_hub': hub.state_dict()}, path)
    loaded = CheckpointLoader.load_checkpoint(str(path))['message_hub']
    curve = loaded['log_scalars']['train/loss']
    assert isinstance(curve, HistoryBuffer)
    assert (curve.mean(2), curve.statistics('max')) == (3.0, 4.0)
    assert loaded['runtime_info']['best'] == 3


class AnyAttribute:
    """Asks for a method that is not one of the statistics."""

    def __reduce__(self):
        return getattr, (HistoryBuffer, '__init__')


def test_other_attributes_are_not_given(tmp_path):
    path = tmp_path / 'any.pth'
    torch.save({'x': AnyAttribute()}, path)
    with pytest.raises(UserError, match='getattr'):
        CheckpointLoader.load_checkpoint(str(path))


def test_what_is_no_checkpoint_is_named(tmp_path):
    path = tmp_path / 'list.pth'
    torch.save([1, 2], path)
    with pytest.raises(UserError, match=r'list\.pth: holds a list'):
        CheckpointLoader.load_checkpoint(str(path))
    with pytest.raises(MissingFileError, match='nowhere'):
        CheckpointLoader.load_checkpoint(str(tmp_path / 'nowhere.pth'))
