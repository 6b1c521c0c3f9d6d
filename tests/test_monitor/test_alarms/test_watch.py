# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import json
from types import SimpleNamespace

from mmseg_cag.monitor.alarms import Alarm, AlarmRules, write_alarm


class Says:
    """A rule that has its say in the record."""

    def look(self, record: dict) -> list[Alarm]:
        return [Alarm('x', name, 'm') for name in record['wrong']]


def raised(*wrong: str, rest: int = 2) -> list[list[str]]:
    watch = AlarmRules([Says()], rest)
    return [[a.name for a in watch.look({'wrong': w})] for w in wrong]


def test_an_occurrence_is_raised_once():
    assert raised('', 'a', 'a', 'ab', 'ab') == [[], ['a'], [], ['b'], []]


def test_it_is_raised_anew_only_after_a_rest():
    assert raised('a', '', 'a', '', 'a') == [['a'], [], [], [], []]
    assert raised('a', '', 'a', '', '', 'a')[3:] == [[], [], ['a']]


def test_the_log_and_the_file_name_it(tmp_path):
    lines = []
    runner = SimpleNamespace(
        iter=9,
        work_dir=str(tmp_path),
        model=SimpleNamespace(stage=2),
        logger=SimpleNamespace(warning=lines.append),
    )
    write_alarm(runner, Alarm('vanished_class', 'car', 'is gone; do this'))
    write_alarm(runner, Alarm('coverage', None, 'too low; do that'))
    assert lines == [
        'Alarm, vanished_class of car, iteration 10: is gone; do this',
        'Alarm, coverage, iteration 10: too low; do that',
    ]
    path = tmp_path / 'alarms.jsonl'
    first, second = map(json.loads, path.read_text().splitlines())
    assert first == {
        'iter': 10,
        'stage': 2,
        'alarm': 'vanished_class',
        'class': 'car',
        'message': 'is gone; do this',
    }
    assert second['class'] is None
