# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""One run at a time in a folder."""

from __future__ import annotations

from multiprocessing import get_context
from pathlib import Path

import pytest
from mmengine.config import Config

from mmseg_cag.errors import UserError
from mmseg_cag.launch.run_lock import LOCK, locked


def config(folder: Path, launcher: str = 'none') -> Config:
    return Config(dict(work_dir=str(folder), launcher=launcher))


def refusal(folder: Path) -> str | None:
    """Lock in another process; returns why that failed, if it did."""
    context = get_context('fork')
    answers = context.SimpleQueue()

    def work() -> None:
        try:
            with locked([config(folder)]):
                answers.put(None)
        except UserError as error:
            answers.put(str(error))

    process = context.Process(target=work)
    process.start()
    process.join()
    return answers.get()


def test_a_second_run_is_refused_until_the_first_ends(tmp_path):
    with locked([config(tmp_path / 'a'), config(tmp_path / 'b')]):
        for name in ('a', 'b'):
            assert 'is in use by process' in refusal(tmp_path / name)
        assert refusal(tmp_path / 'c') is None
    # The file stays; a lock is no file.
    assert (tmp_path / 'a' / LOCK).is_file()
    assert refusal(tmp_path / 'a') is None


def test_the_first_rank_locks_for_all(tmp_path, monkeypatch):
    monkeypatch.setenv('RANK', '1')
    with locked([config(tmp_path, 'pytorch')]):
        assert refusal(tmp_path) is None
    monkeypatch.setenv('RANK', '0')
    with locked([config(tmp_path, 'pytorch')]):
        assert refusal(tmp_path)


def test_a_folder_that_cannot_be_is_told(tmp_path):
    (tmp_path / 'file').touch()
    with pytest.raises(UserError, match='cannot be written to'):
        locked([config(tmp_path / 'file' / 'work')]).__enter__()
