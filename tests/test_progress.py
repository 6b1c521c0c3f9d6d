# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import io
import itertools

import pytest
from rich.console import Console

from mmseg_cag import progress
from mmseg_cag.progress import track


@pytest.fixture
def log(monkeypatch):
    """A log that is no terminal, while each look at the clock takes 3 s."""
    clock = itertools.count(100, 3)
    monkeypatch.setattr(progress.time, 'monotonic', lambda: next(clock))
    return Console(file=io.StringIO())


def lines(console):
    return console.file.getvalue().splitlines()


def test_a_log_gets_the_first_the_last_and_a_line_every_ten_seconds(log):
    assert list(track('abcdefgh', '[x] of a/b', console=log)) == [*'abcdefgh']
    assert lines(log) == [
        '[x] of a/b: 1 of 8, 3 s',
        '[x] of a/b: 5 of 8, 15 s',
        '[x] of a/b: 8 of 8, 24 s',
    ]


def test_what_is_uncounted_is_shown_without_a_total(log):
    assert len(list(track(iter(range(5)), 'frames', console=log))) == 5
    assert lines(log) == ['frames: 1, 3 s', 'frames: 5, 15 s']


def test_other_ranks_show_nothing(log):
    assert list(track([1, 2], 'x', console=log, disable=True)) == [1, 2]
    assert lines(log) == []


def test_a_terminal_gets_a_bar():
    terminal = Console(file=io.StringIO(), force_terminal=True, width=60)
    assert list(track([1, 2, 3], '[x]', console=terminal)) == [1, 2, 3]
    shown = terminal.file.getvalue()
    assert '[x]' in shown and '3/3' in shown and '\x1b[' in shown


def test_a_line_appears_when_its_item_is_done(log):
    items = track([1, 2], 'x', console=log)
    next(items)
    assert lines(log) == []
    next(items)
    assert lines(log) == ['x: 1 of 2, 3 s']
