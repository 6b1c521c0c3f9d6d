# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""A few rounds of the fault harness; ``python -m tests.faults`` runs more."""

from __future__ import annotations

import pytest

from tests.faults.child import Lost
from tests.faults.kinds import KINDS
from tests.faults.run import run_rounds
from tests.faults.table import Table

# One method is trained, so its undisturbed run is made once.
SHORT = [
    'SIGKILL of training, CAG',
    'SIGKILL of an anchor pass',
    'SIGKILL of a conversion of labels',
]


@pytest.mark.long
def test_a_round_of_some_kinds():
    said = []
    table = run_rounds(len(SHORT), 1, SHORT, said.append)
    assert not table.lost, said
    assert table.survived == dict.fromkeys(SHORT, 1)


def test_what_is_lost_is_told(monkeypatch):
    def lose(lab: object) -> None:
        raise Lost('no word')

    monkeypatch.setitem(KINDS, 'x', lose)
    said = []
    table = run_rounds(2, 0, ['x'], said.append)
    assert [line.split(' (')[0] for line in said] == [
        '  1 x: LOST, no word',
        '  2 x: LOST, no word',
    ]
    assert table.render().splitlines()[-2:] == [
        '| x | 2 | 0 | 2 |',
        '| all | 2 | 0 | 2 |',
    ]


def test_an_empty_table():
    assert Table().render().splitlines()[-1] == '| all | 0 | 0 | 0 |'
