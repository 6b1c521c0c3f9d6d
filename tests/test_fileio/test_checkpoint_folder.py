# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Which checkpoint of a folder a run goes on from."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from mmseg_cag.errors import MissingFileError, UserError
from mmseg_cag.fileio.checkpoints import (
    archive_previous,
    latest_valid_checkpoint,
    numbered,
    remove_drafts,
)


def fill(folder: Path, *steps: int, note: int | None = None) -> None:
    for step in steps:
        torch.save({'x': torch.ones(100)}, folder / f'iter_{step}.pth')
    if note:
        path = f'/moved/since/iter_{note}.pth'
        (folder / 'last_checkpoint').write_text(path)


def newest(folder: Path) -> str | None:
    path = latest_valid_checkpoint(folder)
    return path and path.name


def test_the_highest_number_whatever_the_clock_says(tmp_path):
    assert newest(tmp_path) is None
    fill(tmp_path, 900, 1000, 20)
    os.utime(tmp_path / 'iter_20.pth', (4e9, 4e9))
    assert newest(tmp_path) == 'iter_1000.pth'


def test_one_that_is_not_noted_yet_is_not_taken(tmp_path):
    fill(tmp_path, 2, 4, 6, note=4)
    assert newest(tmp_path) == 'iter_4.pth'
    (tmp_path / 'iter_4.pth').unlink()
    assert newest(tmp_path) == 'iter_6.pth'


def test_damaged_ones_are_passed_over(tmp_path, caplog):
    fill(tmp_path, 2, 4, 6, note=6)
    os.truncate(tmp_path / 'iter_6.pth', 500)
    (tmp_path / 'iter_4.pth').write_bytes(b'')
    assert newest(tmp_path) == 'iter_2.pth'
    (tmp_path / 'iter_2.pth').write_bytes(b'PK')
    with pytest.raises(UserError, match='none of its 3 checkpoints is intact'):
        newest(tmp_path)


def test_a_checkpoint_that_is_named_and_gone(tmp_path):
    fill(tmp_path, note=4)
    with pytest.raises(MissingFileError, match=r'names iter_4\.pth'):
        newest(tmp_path)
    (tmp_path / 'last_checkpoint').write_bytes(b'\xff\x00 nonsense')
    assert newest(tmp_path) is None


def test_an_earlier_run_is_put_aside_each_time(tmp_path):
    for number in (1, 2):
        fill(tmp_path, 2, 4, note=4)
        (tmp_path / 'best_mIoU_iter_2.pth').touch()
        (tmp_path / 'do_no_harm.jsonl').touch()
        assert archive_previous(tmp_path) == tmp_path / f'before_{number}'
        assert numbered(tmp_path) == []
        found = sorted(p.name for p in (tmp_path / 'before_1').iterdir())
        records = ['best_mIoU_iter_2.pth', 'do_no_harm.jsonl']
        assert found == [*records, 'iter_2.pth', 'iter_4.pth']
    assert archive_previous(tmp_path) is None


def test_what_a_killed_run_was_writing_is_removed(tmp_path):
    fill(tmp_path, 2)
    (tmp_path / '.iter_4.pth.part').touch()
    remove_drafts(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ['iter_2.pth']
