# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""What waits for a GPU is rehearsed here: all of it, shrunk, on the CPU."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest
from gpu_day.day import PARTS
from gpu_day.setup import explain
from gpu_day.tables import make_tables, to_markdown

ROOT = Path(__file__).parents[2]
DAY, TABLE = 'tools/benchmarks/gpu_day.sh', 'tools/benchmarks/gpu_table.py'
REHEARSE = 'tools/benchmarks/gpu_rehearse.sh'


def run(*arguments: object, **variables: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        ['bash', DAY, *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, 'PYTHON': sys.executable, **variables},
        text=True,
        capture_output=True,
        timeout=900,
    )


def make_table(*words: object) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, TABLE, *words],
        cwd=ROOT,
        env={**os.environ, 'PYTHONPATH': str(ROOT)},
        text=True,
        capture_output=True,
    )


def processor_seconds() -> float:
    """Seconds of processors that children of this process have used."""
    used = os.times()
    return used.children_user + used.children_system


@pytest.fixture(scope='module')
def day(tmp_path_factory) -> tuple[dict, Path]:
    """Results of a rehearsal, and their folder."""
    folder = tmp_path_factory.mktemp('day')
    idle = os.getloadavg()[0] < os.cpu_count() / 2
    before = processor_seconds()
    # More than it takes on idle cores.
    done = run('--rehearse', '--minutes', 12, '--out', folder)
    log = (folder / 'gpu_day.log').read_text()
    assert done.returncode == 0, log[-4000:] + done.stderr + done.stdout
    found = json.loads((folder / 'gpu_day.json').read_text())
    parts = sum(part['seconds'] for part in found['parts'].values())
    # Beside other work the processors' own seconds count, and are longer.
    busy = processor_seconds() - before
    found['spent'] = parts if idle else busy / 1.5
    return found, folder


@pytest.mark.long
@pytest.mark.parametrize('letter', PARTS)
def test_each_part_is_rehearsed(letter, day):
    part = day[0]['parts'][letter]
    assert (part['status'], part['message']) == ('ok', '')
    assert part['results']


@pytest.mark.long
def test_a_rehearsal_takes_less_than_two_minutes(day):
    assert day[0]['spent'] < 120


@pytest.mark.long
def test_the_gpu_tests_need_only_what_such_a_machine_has():
    # Of what requirements/tests.txt lists, that is pytest and pytest-xdist.
    code = (
        'import sys; sys.modules.update(selenium=None, pytest_socket=None); '
        'import pytest; sys.exit(pytest.main(sys.argv[1:]))'
    )
    options = ['--collect-only', '-q', '-o', 'addopts=', '-m', 'gpu']
    options += ['-p', 'no:cacheprovider', '-p', 'no:pytest_socket']
    done = subprocess.run(
        [sys.executable, '-c', code, *options, 'tests/gpu'],
        cwd=ROOT,
        env={**os.environ, 'PYTEST_DISABLE_PLUGIN_AUTOLOAD': '1'},
        text=True,
        capture_output=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert 'test_steps.py' in done.stdout


@pytest.mark.long
def test_what_comes_back_is_little(day):
    names = {path.name for path in day[1].iterdir()}
    assert names == {'gpu_day.json', 'gpu_day.log', 'gpu_day.md'}


@pytest.mark.long
def test_the_tables(day):
    found, folder = day
    titles = [title for title, _ in make_tables(found)]
    assert [title[0] for title in titles] == list(PARTS)
    for _, (heads, *rows) in make_tables(found):
        assert rows and all(len(row) == len(heads) for row in rows)
    text = to_markdown(found, price=2.0)
    assert 'A rehearsal, no measurement.' in text
    assert 'cost at 2 an hour' in text
    document = folder.parent / 'performance.md'
    document.write_text(
        '<!-- results -->\nNothing yet.\n<!-- end of results -->\n'
    )
    done = make_table(folder, '--doc', document)
    assert done.returncode == 0, done.stderr
    assert '| deeplabv2' not in done.stdout and '| adaptsegnet/' in done.stdout
    assert 'Nothing yet.' not in document.read_text()
    assert '| adaptsegnet/' in document.read_text()


@pytest.mark.long
def test_the_tables_of_two_days(tmp_path):
    days = []
    for hour, card in ((9, 'First'), (15, 'Second')):
        machine = dict(
            card=card,
            card_gib=80,
            driver='1',
            cuda='13.0',
            cudnn=9,
            nccl='2',
            cores=16,
            python='3.12',
            versions=dict(torch='2.11'),
            copy_gb_s=hour,
        )
        part = dict(title='card', status='ok', message='', results=machine)
        started = f'2026-11-27 {hour:02d}:00'
        day = dict(started=started, rehearsal=False, parts=dict(a=part))
        days.append(tmp_path / card)
        days[-1].mkdir()
        (days[-1] / 'gpu_day.json').write_text(json.dumps(day))
    document = tmp_path / 'performance.md'
    document.write_text('<!-- results -->\n<!-- end of results -->\n')
    done = make_table(*days, '--doc', document)
    assert done.returncode == 0, done.stderr
    first, second = (
        document.read_text().index(f'Measured on 2026-11-27 {hour}:00, on one')
        for hour in ('09', '15')
    )
    copies = [document.read_text().index(f'| {n} GB/s') for n in (9, 15)]
    assert first < copies[0] < second < copies[1]


def test_failures_of_any_text_leave_a_table():
    failed = {'test_x[a|b]': 'assert 1 | 2 == 4'}
    results = dict(passed=1, skipped=0, failed=failed, not_run=3)
    part = dict(title='tests', status='failed', message='a|b', results=results)
    day = dict(started='today', rehearsal=False, parts=dict(b=part))
    text = to_markdown(day)
    assert r'| `test_x[a\|b]` | assert 1 \| 2 == 4 |' in text
    assert r'| b | tests | failed | 0 | a\|b |' in text
    assert '| not run | 3 |' in text


def test_the_parts_share_the_time():
    shares = sum(part.share for part in PARTS.values())
    assert shares == pytest.approx(1)


KEPT = sorted(ROOT.glob('docs/results/gpu_day/*/gpu_day.json'))


@pytest.mark.parametrize('path', KEPT, ids=lambda path: path.parent.name)
def test_the_tables_of_a_day_that_is_kept(path):
    found = json.loads(path.read_text())
    assert f'Measured on {found["started"]}' in to_markdown(found)
    for _, (heads, *rows) in make_tables(found):
        assert all(len(row) == len(heads) for row in rows)


def first(node: dict) -> dict:
    return next(iter(node.values()))


def spoil(letter: str, change: Callable[[dict], object]) -> tuple:
    return pytest.param(letter, change, id=letter)


# What each part would leave if its own work were broken.
BROKEN = [
    spoil('a', lambda r: r['products']['bf16'].update(error=0.5)),
    spoil('a', lambda r: r['products'].pop('TF32')),
    spoil('a', lambda r: r['versions'].update(mmseg='no module mmseg')),
    spoil('b', lambda r: r['failed'].update({'test_x': 'assert 1 == 2'})),
    spoil('b', lambda r: r.update(passed=0, code=5)),
    spoil('b', lambda r: r.update(not_run=7)),
    spoil('c', lambda r: first(first(r['forms'])).update(median=float('nan'))),
    spoil('c', lambda r: r['forms'].clear()),
    spoil('d', lambda r: r['forms']['fp32'].update(loss=float('nan'))),
    spoil('d', lambda r: first(r['forms']).update(agreement=0.5)),
    spoil('d', lambda r: first(r['forms']).update(active=0.0)),
    spoil('d', lambda r: first(r['forms']).update(fault='too little memory')),
    spoil('e', lambda r: first(r['recipes']).update(fault='no file')),
    spoil('e', lambda r: r['recipes'].clear()),
    spoil('f', lambda r: first(r['runs']).update(iters=0)),
    spoil('f', lambda r: first(r['runs']).update(loss=float('inf'))),
    spoil('g', lambda r: r['forms'].pop('cached')),
    spoil('g', lambda r: first(r['forms']).update(images_s=0)),
    spoil('g', lambda r: first(r['forms']).update(batches=3)),
]


@pytest.mark.long
@pytest.mark.parametrize(('letter', 'change'), BROKEN)
def test_a_part_notices_that_its_work_is_broken(letter, change, day):
    module = import_module(f'gpu_day.{PARTS[letter].module}')
    results = copy.deepcopy(day[0]['parts'][letter]['results'])
    assert module.check(results, True) == []
    change(results)
    assert len(module.check(results, True)) == 1


@pytest.mark.long
def test_without_a_gpu_each_part_says_so_and_the_rest_goes_on(tmp_path):
    missing = tmp_path / 'wheels'
    done = run(
        *('--parts', 'a,c,d', '--minutes', 3, '--out', tmp_path / 'out'),
        CUDA_VISIBLE_DEVICES='',
        WHEELS=str(missing),
    )
    assert done.returncode == 1
    assert f'WHEELS={missing}: no wheel there' in done.stderr
    found = json.loads((tmp_path / 'out' / 'gpu_day.json').read_text())
    for letter in 'acd':
        part = found['parts'][letter]
        assert part['status'] == 'failed'
        assert part['message'].startswith('no GPU')
        assert '\n' not in part['message']
    assert found['parts']['a']['results']['versions']['mmseg']


@pytest.mark.long
def test_a_rehearsal_as_on_the_machine(tmp_path):
    wheels, out = tmp_path / 'wheels', tmp_path / 'out'
    done = subprocess.run(
        ['bash', REHEARSE, sys.executable, wheels, '--parts=a', '--out', out],
        cwd=ROOT,
        text=True,
        capture_output=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    assert f'WHEELS={wheels}: no wheel there' in done.stderr
    assert json.loads((out / 'gpu_day.json').read_text())['rehearsal']


def test_an_unknown_part(tmp_path):
    done = run('--parts', 'a,x', '--out', tmp_path)
    assert done.returncode == 2
    assert "--parts: 'x' is none of a,b,c,d,e,g,f" in done.stderr


@pytest.mark.parametrize(
    ('error', 'told'),
    [
        (ModuleNotFoundError('No', name='addict'), 'no module addict: put'),
        (RuntimeError('one\ntwo'), 'RuntimeError: one'),
    ],
)
def test_an_error_is_told_in_a_line(error, told):
    assert explain(error).startswith(told)
    assert '\n' not in explain(error)


@pytest.mark.long
def test_a_folder_without_results(tmp_path):
    done = make_table(tmp_path)
    assert done.returncode == 1
    assert 'gpu_day.json: expected the results of gpu_day.sh' in done.stderr
