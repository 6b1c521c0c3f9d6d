# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Rows of a benchmark: which there are, what they depend on, their tables."""

from __future__ import annotations

import json
import re
import sys
import time
from argparse import Namespace
from copy import deepcopy
from pathlib import Path

import pytest
from mmengine.config import Config
from rows import command, store, tables
from rows.measure import BenchmarkRuns, Place, measure
from rows.methods import (
    VARIANTS,
    Row,
    Variant,
    default_words,
    is_of,
    plan_rows,
    read_variants,
    title_of,
)
from rows.schedule import Job, run_jobs

from mmseg_cag.errors import MissingFileError, UserError
from mmseg_cag.fileio.safe_load import read_checkpoint
from mmseg_cag.launch.cfg_options import merge_options
from mmseg_cag.minitown.pairs import MINITOWN, PAIRS, REAL_STREETS, Budget
from tests.small_jobs import double, fail_at_two, note_and_sleep, refuse

SMALL = Budget((4, 4, 2, 0), (32, 64), 2, 2)


def place(root: Path, variants: dict | None = None, budget=SMALL) -> Place:
    return Place(
        {name: root / 'data' / name for name in PAIRS},
        root / 'work',
        root / 'results',
        dict.fromkeys(PAIRS, budget),
        variants or {},
        0,
    )


def content(name: str, seed: int = 0, *scores: float, **more) -> dict:
    """What the file of a row holds."""
    found = {
        f'iter_{n}': {'mIoU': value, 'IoU.road': value, 'IoU.sky': 2 * value}
        for n, value in enumerate(scores, start=1)
    }
    machine = {'class': 'gpu', 'processor': 'GPU', 'cpu_cores': 16}
    names = ('python', 'torch', 'mmengine', 'mmseg', 'mmseg_cag')
    return {
        'pair': 'minitown',
        'name': name,
        'seed': seed,
        'config': 'abc',
        'scores': found,
        'stages': len(scores) > 1,
        'date': '2026-11-27',
        'machine': machine,
        'versions': dict.fromkeys(names, '1'),
        **more,
    }


def test_the_first_seed_of_all_comes_before_the_second_of_any():
    pairs = [MINITOWN, REAL_STREETS]
    words = ['source_only:2', 'minitown/cag', 'source_only-bn:0,1']
    rows = plan_rows(pairs, words, [0, 1], {})
    assert [tuple(row) for row in rows] == [
        ('minitown', 'source_only', 2),
        ('real_streets', 'source_only', 2),
        ('minitown', 'cag', 0),
        ('minitown', 'source_only-bn', 0),
        ('real_streets', 'source_only-bn', 0),
        ('minitown', 'cag', 1),
        ('minitown', 'source_only-bn', 1),
        ('real_streets', 'source_only-bn', 1),
    ]
    # What only one pair knows is asked of it alone.
    assert {r.pair for r in plan_rows(pairs, ['clan'], [0], {})} == {
        'minitown'
    }
    words = default_words(pairs)
    assert words[:2] == ['minitown/source_only', 'real_streets/source_only']
    assert 'minitown/dacs' in words and 'real_streets/dacs:0' in words
    assert plan_rows(pairs, words, [0, 1, 2], {})


@pytest.mark.parametrize('word', ['cga', 'cag:x', 'real_streets/clan'])
def test_a_row_that_is_none(word):
    with pytest.raises(UserError, match=f'{word}: '):
        plan_rows([MINITOWN, REAL_STREETS], [word], [0], {})


def test_variants_are_rows_of_their_pairs(tmp_path):
    path = tmp_path / 'variants.json'
    one = {'like': 'dacs', 'changes': {'model.threshold': 0.9}}
    other = {'like': 'dacs', 'pairs': ['real_streets'], 'title': 'Other'}
    path.write_text(json.dumps({'one': one, 'other': other}))
    variants = read_variants(path)
    rows = plan_rows(
        [MINITOWN, REAL_STREETS], ['one', 'other-bn'], [0], variants
    )
    assert [(r.pair, r.name) for r in rows] == [
        ('minitown', 'one'),
        ('real_streets', 'one'),
        ('real_streets', 'other-bn'),
    ]
    title = title_of('other-bn', variants['other'])
    assert title.startswith('Other, statistics')
    path.write_text(json.dumps({'one': {'lik': 'dacs'}}))
    with pytest.raises(UserError, match='one: expected like, changes'):
        read_variants(path)


def test_shipped_variants_are_settings_of_their_configs():
    variants = read_variants(command.VARIANTS)
    configs: dict[Path, Config] = {}
    for name, variant in variants.items():
        own = [pair for pair in PAIRS.values() if is_of(variant, pair)]
        assert len(own) >= max(len(variant.pairs), 1), name
        for pair in own:
            path = pair.configs / f'{variant.like}.py'
            if path not in configs:
                configs[path] = Config.fromfile(path)
            cfg = deepcopy(configs[path])
            merge_options(cfg, variant.changes, name)
            # mmengine leaves it where there was nothing to delete.
            assert '_delete_' not in repr(cfg.to_dict())


def test_what_a_row_depends_on(tmp_path, monkeypatch):
    variants = {
        'sure': Variant('dacs', {'model.threshold': 0.9}),
        'from_bn': Variant('dacs', start='source_only-bn'),
    }

    def identity(name: str, seed: int = 0, root: str = 'a', **changes) -> str:
        at = place(tmp_path / root, variants, Budget(**changes))
        return at.runs('minitown', seed).identity(name)

    one = identity('dacs')
    assert identity('dacs', seed=3, root='b') == one
    # What watches, loads or validates is no matter.
    variants['seen'] = Variant(
        'dacs',
        {
            'default_hooks.monitor.interval': 7,
            'train_dataloader.num_workers': 3,
            'train_cfg.val_interval': 9,
        },
    )
    assert identity('seen') == one
    others = [identity(n) for n in ('sure', 'from_bn', 'dacs-bn', 'cag')]
    others += [identity('dacs', supervised_iters=7)]
    others += [identity('dacs', size=(64, 128)), identity('bdl_loop')]
    assert len({one, *others}) == 8
    # The place of what is given is none of its settings.
    real = place(tmp_path).runs('real_streets', 0).identity('oracle')
    monkeypatch.setenv('CAMVID_ROOT', str(tmp_path / 'elsewhere'))
    assert place(tmp_path).runs('real_streets', 0).identity('oracle') == real


def test_a_student_waits_for_its_start_and_its_teacher(tmp_path):
    at = place(tmp_path, read_variants(command.VARIANTS))
    row = Row('minitown', 'distill', 0)
    jobs = {job.key.name: job for job in command.list_jobs(at, [row], 'gpu')}
    assert list(jobs) == [
        'source_only',
        'source_only_lite2',
        'cag_lite2',
        'distill',
    ]
    after = [job.name for job in jobs['distill'].after]
    assert after == ['source_only', 'cag_lite2']
    runs = at.runs('minitown', 0)
    teacher = runs.config('distill').model.distillation.teacher
    assert teacher.checkpoint == str(runs.checkpoints('cag_lite2')[-1])
    one = runs.identity('distill')
    elsewhere = place(tmp_path / 'b', at.variants).runs('minitown', 0)
    assert elsewhere.identity('distill') == one
    others = dict(at.variants)
    others['distill'] = Variant('distill', {'model.norm_eval': True})
    others['cag_lite2'] = Variant('cag_lite2', {'model.norm_eval': False})
    for name in ('distill', 'cag_lite2'):
        other = place(tmp_path, {name: others[name]}).runs('minitown', 0)
        assert other.identity('distill') != one, name


def test_a_row_without_the_source_begins_from_a_file_about_it(tmp_path):
    at = place(tmp_path, read_variants(command.VARIANTS))
    row = Row('minitown', 'source_free', 0)
    jobs = command.list_jobs(at, [row], 'gpu')
    assert [j.key.name for j in jobs] == ['source_only', 'cag', 'source_free']
    runs = at.runs('minitown', 0)
    assert runs.config('source_free').load_from.endswith('source_free.pth')
    assert runs.source_of('cag') is runs.source_of('source_free-bn') is None


def changed_keys(runs: BenchmarkRuns) -> set[str]:
    """What re-estimation has changed in a network."""
    before, after = (
        read_checkpoint(runs.checkpoints(name)[-1])['state_dict']
        for name in ('source_only', 'source_only-bn')
    )
    assert before.keys() == after.keys()
    return {
        key.rpartition('.')[2]
        for key, value in before.items()
        if not value.equal(after[key])
    }


@pytest.mark.long
def test_a_row_is_trained_scored_and_then_there(tmp_path, monkeypatch):
    at = place(tmp_path)
    rows = [Row('minitown', n, 0) for n in ('source_only', 'source_only-bn')]
    jobs = command.list_jobs(at, rows, 'gpu')
    assert [job.key for job in jobs] == rows
    assert jobs[1].after == [rows[0]]
    at.runs('minitown', 0).draw()
    for row in rows:
        found = measure(at, row)
        found['machine']['class'] = 'gpu'
        store.write_row(at.results, found)
        assert store.read_row(store.path_of(at.results, 'gpu', row)) == found
        assert found['variant'] is None and not found['stages']
        [(name, metrics)] = found['scores'].items()
        assert name == 'iter_2' and 0 <= metrics['mIoU'] <= 100
        assert 'IoU.road' in metrics
    assert found['start'] == 'source_only' and found['steps'] == 0
    assert found['start_mIoU'] == pytest.approx(
        tables.last_miou(
            store.read_row(store.path_of(at.results, 'gpu', rows[0]))
        )
    )
    assert changed_keys(at.runs('minitown', 0)) == {
        'running_mean',
        'running_var',
        'num_batches_tracked',
    }
    rows_there = store.read_rows(at.results, 'minitown')
    command.mark(at, rows_there)
    assert not any(row['is_stale'] for row in rows_there['gpu'])
    # Measured again on another machine, or for other settings.
    assert command.list_jobs(at, rows, 'gpu') == []
    assert len(command.list_jobs(at, rows, 'other')) == 2
    longer = place(tmp_path, budget=Budget(SMALL.images, SMALL.size, 3, 3))
    assert len(command.list_jobs(longer, rows, 'gpu')) == 2
    # A start whose row is there is still trained for what begins from it.
    adapted = [Row('minitown', 'dacs', 0)]
    again = command.list_jobs(at, adapted, 'gpu')
    assert [job.key for job in again] == [rows[0], adapted[0]]


def test_without_what_is_given(monkeypatch, tmp_path):
    monkeypatch.delenv('CAMVID_ROOT', raising=False)
    with pytest.raises(MissingFileError, match='CAMVID_ROOT=None: expected'):
        REAL_STREETS.require_given()
    for folder in REAL_STREETS.given[1]:
        (tmp_path / folder).mkdir(parents=True)
    monkeypatch.setenv('CAMVID_ROOT', str(tmp_path))
    REAL_STREETS.require_given()


def test_a_file_that_is_no_row(tmp_path):
    path = store.write_row(tmp_path, content('cag', 0, 1.0))
    assert path.name == 'cag_seed0.json'
    for damage in ({'scores': {}}, {'scores': {'a': {'mIoU': 'x'}}}):
        path.write_text(json.dumps({**content('cag', 0, 1.0), **damage}))
        with pytest.raises(UserError, match='expected scores with an mIoU'):
            store.read_row(path)
    path.write_text('{"pair": "minitown"}')
    with pytest.raises(UserError, match='is no row, it lacks config'):
        store.read_rows(tmp_path, 'minitown')


def test_the_table(tmp_path):
    sure = {'like': 'dacs', 'title': 'DACS, surer'}
    for row in (
        content('oracle', 0, 60.0),
        content('oracle', 1, 62.0),
        content('source_only', 0, 30.0),
        content('source_only', 1, 32.0),
        content('cag', 0, 40.0, 45.0, alarms={'coverage': 1}, looks=2),
        content('cag', 1, 43.0, 40.0, looks=2, harm={'75': 'car explodes'}),
        content('sure', 1, 47.0, variant=sure),
        content('source_only-bn', 0, 33.0),
    ):
        store.write_row(tmp_path, row)
    found = store.read_rows(tmp_path, 'minitown')
    text = tables.write_tables(found)
    lines = text.splitlines()
    assert lines[0] == (
        '| network | mean | sd | seed 0 | seed 1 | gain | of the gap |'
    )
    assert lines[2:7] == [
        '| source only | 31.0 | 1.4 | 30.0 | 32.0 |  |  |',
        '| source only, statistics re-estimated on the target | 33.0 | – '
        '| 33.0 | – | +3.0 | 10% |',
        '| CAG, stage 1 | 41.5 | 2.1 | 40.0 | 43.0 |  |  |',
        '| CAG, stage 2 | 42.5 | 3.5 | 45.0 | 40.0 | +11.5 | 38% |',
        '| oracle (target labels) | 61.0 | 1.4 | 60.0 | 62.0 | +30.0 | 100% |',
    ]
    # What is no method is below, with the same columns.
    assert lines[lines.index('Variants:') + 2 :][:3] == [
        lines[0],
        lines[1],
        '| DACS, surer | 47.0 | – | – | 47.0 | +15.0 | 50% |',
    ]
    assert '+11.5 on average, +8.0 on the worst seed; alarms in 1 of' in text
    assert 'in 1 of 2 runs; do no harm found harm in 1 of 2.' in text
    assert 'largest fall from a stage to the next: 3.0.' in text
    assert '| network | road | sky |' in text
    assert '| CAG | 42.5 | 85.0 |' in text
    assert '8 runs on GPU, 16 CPU cores, 2026-11-27' in text


def test_stages_go_on_from_those_of_the_file_about_the_source(tmp_path):
    variants = read_variants(VARIANTS)
    free = variants['source_free']._asdict()
    rows = [
        content('source_free', 0, 40.0, 41.0, variant=free),
        content('cag', 0, 42.0, 43.0, 44.0),
    ]
    # By the config, whatever a variant is called.
    other = {**free, 'title': 'another'}
    rows.append(content('other', 0, 45.0, 46.0, variant=other))
    command.mark(place(tmp_path), {'gpu': rows})
    text = tables.write_tables({'gpu': rows})
    found = re.findall(r'(\w+)[ †]*, stage (\d) \| (\d+)', text)
    assert found == [
        *[('CAG', '1', '42'), ('CAG', '2', '43'), ('CAG', '3', '44')],
        *[('another', '2', '45'), ('another', '3', '46')],
        *[('1', '2', '40'), ('1', '3', '41')],
    ]


def test_a_title_follows_its_variant_but_not_other_settings():
    old = {'like': 'cag', 'changes': {}, 'title': 'the same'}

    def row(name: str, is_stale: bool = False) -> dict:
        return content(name, variant=dict(old), is_stale=is_stale)

    named = [row('one'), row('one-bn'), row('one', True), row('gone')]
    method = content('cag', variant=None, is_stale=False)
    now = Variant('cag', title='CAG on one')
    command.retitle({'one': now, 'cag': now}, {'gpu': [*named, method]})
    titles = [row['variant']['title'] for row in named]
    assert titles == ['CAG on one', 'CAG on one', 'the same', 'the same']
    assert method['variant'] is None


def test_each_title_stands_alone():
    variants = read_variants(VARIANTS)
    titles = [variant.title for variant in variants.values()]
    assert len({*titles}) == len(titles)
    for title in titles:
        assert not re.search(r'\b(the same|it|above)\b', title), title


def test_a_pair_of_variants_alone_has_one_table(tmp_path):
    both = {'like': 'dacs_minitown', 'title': 'DACS, both'}
    store.write_row(tmp_path, content('both_dacs', 0, 47.0, variant=both))
    text = tables.write_tables(store.read_rows(tmp_path, 'minitown'))
    assert [line for line in text.splitlines() if line.startswith('|')][
        2:
    ] == ['| DACS, both | 47.0 | – | 47.0 | – | – |']
    assert 'Variants' not in text and 'IoU by class' not in text


def test_tables_go_into_documents_from_rows_alone(tmp_path, monkeypatch):
    page = tmp_path / 'page.md'
    page.write_text('a\n<!-- results -->\nold\n<!-- end of results -->\nb\n')
    store.write_row(tmp_path / 'rows', content('source_only', 0, 30.0))
    script = 'benchmark_minitown.py'
    options = ['--results', tmp_path / 'rows', '--doc', page, '--table-only']
    monkeypatch.setattr(sys, 'argv', [script, *map(str, options)])
    monkeypatch.setattr(command, 'exit_on_signals', lambda: None)
    monkeypatch.setattr(command, 'measure_rows', None)  # is not called
    command.main('Measure.', ['minitown'])
    text = page.read_text()
    assert text.startswith('a\n<!-- results -->\n| network |')
    # Of settings that are none of today's.
    assert '| source only † | 30.0 |' in text and 'old' not in text
    assert '\n† Measured with settings that have changed since.\n' in text
    assert text.endswith('<!-- end of results -->\nb\n')


def test_shipped_rows_are_rows():
    for pair in PAIRS:
        for machine, contents in store.read_rows(
            command.RESULTS, pair
        ).items():
            for row in contents:
                assert row['machine']['class'] == machine
                assert row['pair'] == pair


def test_jobs_wait_for_the_one_that_they_start_from():
    jobs = [Job('b', 'b', 2, after=['a']), Job('a', 'a', 1), Job('c', 'c', 3)]
    told = []
    outcome = run_jobs(
        jobs, double, 1, tell=lambda job, *rest: told.append((job.key, *rest))
    )
    assert outcome.done == ['a', 'b', 'c']
    assert [entry[:3] for entry in told] == [
        ('a', True, 2),
        ('b', True, 4),
        ('c', True, 6),
    ]


def test_a_failure_stops_what_starts_from_it_alone():
    jobs = [
        Job(n, str(n), n, after=[n - 1] if n in (3, 4) else [])
        for n in range(1, 6)
    ]
    outcome = run_jobs(jobs, fail_at_two, 1)
    assert outcome.done == [1, 5]
    assert outcome.failed[2] == 'ValueError: two'
    assert outcome.failed[3] == '2 has failed'
    assert outcome.failed[4] == '3 has failed'


def test_a_job_that_the_user_can_mend_fails_in_one_line(capfd):
    outcome = run_jobs([Job('a', 'a', 'x.md')], refuse)
    assert outcome.failed == {'a': 'x.md: not found, expected a page'}
    assert 'Traceback' not in capfd.readouterr().err


def test_what_runs_at_the_deadline_is_ended(tmp_path):
    path = tmp_path / 'begun'
    jobs = [Job(n, str(n), (str(path), 60.0)) for n in range(3)]
    begun = time.monotonic()
    outcome = run_jobs(
        jobs, note_and_sleep, 1, begun + 3, logs=tmp_path / 'logs'
    )
    assert time.monotonic() - begun < 15
    assert outcome.left == [0, 1, 2] and not outcome.done
    assert len(path.read_text().splitlines()) == 1


def test_what_would_be_measured_is_listed(tmp_path, monkeypatch, capsys):
    script = 'benchmark_minitown.py'
    options = ['--results', tmp_path, '--list', 'gpu', '--methods', 'cag']
    monkeypatch.setattr(sys, 'argv', [script, *map(str, options)])
    monkeypatch.setattr(command, 'exit_on_signals', lambda: None)
    command.main('Measure.', ['minitown'])
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == [
        'minitown/source_only seed 0',
        'minitown/cag seed 0',
    ]
    assert lines[-1] == '6 runs'


def test_the_command_line_refuses():
    args = Namespace(
        variants=command.VARIANTS,
        pairs=['minitown', 'real_streets'],
        doc='x',
    )
    with pytest.raises(UserError, match='--doc: expected one pair'):
        command.run(args)
    args.pairs, args.doc = ['minitown'], Path('missing.md')
    with pytest.raises(MissingFileError, match='missing.md: not found'):
        command.run(args)
