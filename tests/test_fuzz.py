# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""A short run of `tests.fuzz`, and checks that it would find something."""

from __future__ import annotations

import os
import pickle
import signal
from collections import Counter

import pytest

from mmseg_cag.errors import UserError
from tests.fuzz import trial
from tests.fuzz.__main__ import table
from tests.fuzz.campaign import campaign
from tests.fuzz.readers import Reader, all_readers

INPUTS = 400


@pytest.mark.long
def test_damaged_and_hostile_files_are_read_or_refused(tmp_path):
    readers = all_readers(tmp_path)
    outcomes = list(campaign(readers, seed=1, numbers=range(INPUTS)))
    assert [o.number for o in outcomes] == list(range(INPUTS))
    assert [o for o in outcomes if o.kind in trial.FAULTS] == []
    counts = Counter(outcome.kind for outcome in outcomes)
    # Neither so damaged that nothing is read, nor so little that all is.
    assert min(counts[trial.READ], counts[trial.REFUSED]) > INPUTS / 20


def test_valid_files_are_read(tmp_path):
    for reader in all_readers(tmp_path / 'seeds'):
        # Some are of another kind, but the first is the reader's own.
        folder = tmp_path / 'valid' / reader.name
        reader.place(folder, reader.seeds[0])
        reader.read(folder)


def crash(folder):
    raise IndexError('no such thing')


def two_lines(folder):
    error = UserError('one')
    error.__class__ = type('Long', (UserError,), {'__str__': lambda _: 'a\nb'})
    raise error


def run_it(folder):
    pickle.loads((folder / 'a').read_bytes())


def die(folder):
    os.kill(os.getpid(), signal.SIGSEGV)


def hang(folder):
    while True:
        pass


@pytest.mark.parametrize(
    ('read', 'kind'),
    [
        (crash, trial.CRASHED),
        (two_lines, trial.CRASHED),
        (die, trial.CRASHED),
        (hang, trial.HUNG),
        (lambda folder: None, trial.READ),
    ],
)
def test_what_a_reader_does_is_noticed(monkeypatch, read, kind):
    monkeypatch.setattr('tests.fuzz.campaign.COMPUTING', 0.2)
    reader = Reader('kind', 'name', 'a', [b'content'], read)
    outcomes = list(campaign([reader], seed=0, numbers=range(3)))
    assert [(o.number, o.kind) for o in outcomes] == [
        (number, kind) for number in range(3)
    ]
    assert table(outcomes, [reader])[2].startswith('| kind | 3 | ')


def test_executed_code_is_noticed():
    reader = Reader('kind', 'pickles', 'a', [b'content'], run_it)
    outcomes = list(campaign([reader], seed=0, numbers=range(60)))
    assert trial.EXECUTED in {outcome.kind for outcome in outcomes}
