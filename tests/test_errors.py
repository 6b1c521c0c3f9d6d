# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import pytest
from torch.utils.data import DataLoader, Dataset

from mmseg_cag.errors import MissingFileError, UserError, exit_on_user_error


class Broken(Dataset):
    """A data set whose only item cannot be read."""

    def __init__(self, error: type[UserError]) -> None:
        self.error = error

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> None:
        raise self.error('a.png: cannot be read')


@pytest.mark.parametrize('error', [UserError, MissingFileError])
@pytest.mark.parametrize('workers', [0, 1])
def test_the_message_is_one_line_from_a_worker_too(error, workers):
    loader = DataLoader(Broken(error), num_workers=workers)
    with pytest.raises(error) as caught:
        next(iter(loader))
    assert str(caught.value) == 'a.png: cannot be read'


def test_a_tool_exits_with_the_message():
    with pytest.raises(SystemExit) as exited, exit_on_user_error():
        raise UserError('a.json: expected a list')
    assert exited.value.code == 'error: a.json: expected a list'
    assert exited.value.__suppress_context__


def test_a_tool_names_further_errors_that_it_tells():
    with pytest.raises(ImportError), exit_on_user_error():
        raise ImportError('onnx is not installed')
    with (
        pytest.raises(SystemExit, match='^error: onnx is not'),
        exit_on_user_error(ImportError),
    ):
        raise ImportError('onnx is not installed')


def test_an_interrupt_is_no_message():
    with pytest.raises(KeyboardInterrupt), exit_on_user_error():
        raise KeyboardInterrupt
