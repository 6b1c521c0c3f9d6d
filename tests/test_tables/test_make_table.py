# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""The tables of finished runs, from work dirs to Markdown and LaTeX."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path
from statistics import mean, stdev

import pytest
from mmengine.config import Config
from tables import published
from tables.finished_run import read_run
from tables.published import CITYSCAPES, SIXTEEN, THIRTEEN
from tables.render import to_latex, to_markdown
from tables.result_table import (
    ResultTable,
    Row,
    make_tables,
)

ROOT = Path(__file__).parents[2]
TARGET = dict(type='CityscapesDataset', data_root='data/cityscapes')


def write_run(
    folder: Path,
    metrics: dict,
    source: str = 'GTADataset',
    target: dict = TARGET,
    seed: int = 0,
    initialized_from: object = None,
    **changes: object,
) -> Path:
    """Write the work dir of a run of 40 iterations, best at 20."""
    folder.mkdir(parents=True)
    cfg = Config(
        dict(
            model=dict(type='CAGSegmentor'),
            train_dataloader=dict(
                dataset=dict(
                    type='UDADataset',
                    domains=dict(
                        source=dict(type=source), target=dict(target)
                    ),
                )
            ),
            val_dataloader=dict(dataset=dict(target)),
            train_cfg=dict(max_iters=40),
            randomness=dict(seed=seed),
            initialized_from=initialized_from,
        )
        | changes
    )
    cfg.dump(folder / 'config.py')
    best = {name: value + 9 for name, value in metrics.items()}
    more = {'stage': 1, 'classes': ['road'], 'confusion_matrix': [[9]]}
    notes = {'20': best, '40': metrics | more}
    (folder / 'validation.json').write_text(json.dumps(notes))
    return folder


def results(classes=CITYSCAPES, start: float = 10, **means: float) -> dict:
    iou = {f'IoU.{name}': start + k for k, name in enumerate(classes)}
    return {'aAcc': 90.0, 'mIoU': mean(iou.values()), **means, **iou}


def tables(*folders: Path, names=()) -> list[ResultTable]:
    names = names or [None] * len(folders)
    return make_tables(zip(names, map(read_run, folders), strict=True))


def measured(table: ResultTable) -> list[Row]:
    return [row for row in table.rows if row.origin.startswith('measured')]


def test_published_rows_are_whole_and_average_to_their_means():
    for row in (*published.GTA5, *published.SYNTHIA):
        assert row.source in published.SOURCES
        assert len(row.iou) in (0, len(CITYSCAPES))
        if row.iou:
            assert mean(row.iou) == pytest.approx(row.means['mIoU'], abs=0.12)


def test_the_sets_of_classes_are_those_of_the_configs():
    path = ROOT / 'configs/_base_/datasets/uda_synthia2cs_896x512.py'
    sets = Config.fromfile(path).val_evaluator.class_sets
    assert list(SIXTEEN) == list(sets.mIoU16)
    assert list(THIRTEEN) == list(sets.mIoU13)


def test_the_last_result_beside_the_published_ones(tmp_path):
    [table] = tables(write_run(tmp_path / 'cag' / 'x', results()))
    assert table.title == 'GTA5 → Cityscapes'
    assert table.classes == CITYSCAPES and table.means == ('mIoU',)
    quoted = [row for row in table.rows if row.origin.startswith('quoted')]
    assert [row.means['mIoU'][0] for row in quoted] == [
        *(36.6, 41.4, 42.4, 44.1, 43.2, 48.5, 50.2, 53.7, 68.3, 73.8, 75.9),
        *(77.1, 78.4, 79.8),
    ]
    [row] = measured(table)
    assert row.method == 'cag/x'
    assert row.origin == 'measured (seed 0; iteration 40)'
    # The last, where the best is nine points higher.
    assert row.iou == {name: 10 + k for k, name in enumerate(CITYSCAPES)}
    assert row.means == {'mIoU': (19, None)}


def test_synthia_by_rows_and_by_outputs(tmp_path):
    def run(name, metrics, classes=None):
        target = TARGET | (
            {'metainfo': {'classes': classes}} if classes else {}
        )
        return write_run(
            tmp_path / name,
            metrics,
            'SYNTHIADataset',
            target,
            model=dict(k=name),
        )

    [table] = tables(
        run('rows', results(mIoU16=41.0, mIoU13=47.0)),
        run('sixteen', results(SIXTEEN), SIXTEEN),
        run('thirteen', results(THIRTEEN), THIRTEEN),
    )
    assert table.title == 'SYNTHIA → Cityscapes'
    assert table.classes == SIXTEEN
    assert table.means == ('mIoU16', 'mIoU13')
    rows, sixteen, thirteen = measured(table)
    assert rows.means['mIoU16'] == (41.0, None)
    assert rows.means['mIoU13'] == (47.0, None)
    assert rows.means['mIoU19'] == (19, None) and not rows.note
    assert sixteen.means == {'mIoU16': (17.5, None)}
    assert thirteen.means == {'mIoU13': (16, None)}
    assert 'with 16 outputs' in sixteen.note
    assert 'with 13 outputs' in thirteen.note
    text = to_markdown(table)
    assert '| mIoU16 | mIoU13 |' in text and 'mIoU19' not in text
    assert ' terrain |' not in text


def test_seeds_are_averaged(tmp_path):
    starts = (10.0, 12.0, 17.0)
    folders = [
        write_run(
            tmp_path / f'seed{seed}' / 'cag',
            results(start=start),
            seed=seed,
            # What each has begun from differs in the seed, too.
            initialized_from={'model': {}, 'randomness': {'seed': seed}},
        )
        for seed, start in enumerate(starts)
    ]
    [row] = measured(tables(*folders)[0])
    assert row.method == 'cag'
    assert row.origin == 'measured (seed 0, 1, 2; iteration 40)'
    assert row.iou['road'] == pytest.approx(mean(starts))
    means = [start + 9 for start in starts]
    assert row.means['mIoU'] == pytest.approx((mean(means), stdev(means)))


def test_a_class_that_one_seed_lacks_is_left_out(tmp_path):
    lacking = results()
    del lacking['IoU.train']
    [row] = measured(
        tables(
            write_run(tmp_path / 'a', results()),
            write_run(tmp_path / 'b', lacking, seed=1),
        )[0]
    )
    assert set(CITYSCAPES) - set(row.iou) == {'train'}


@pytest.mark.parametrize(
    'other',
    [
        dict(model=dict(type='Another')),
        dict(initialized_from='work_dirs/seed1/adversarial/iter_9.pth'),
        dict(initialized_from={'model': {'type': 'Another'}}),
    ],
)
def test_other_methods_are_rows_of_their_own(tmp_path, other):
    first = write_run(
        tmp_path / 'a',
        results(),
        initialized_from='runs/seed0/source_only/iter_9.pth',
    )
    same = write_run(
        tmp_path / 'b',
        results(),
        seed=1,
        initialized_from='runs/seed1/source_only/iter_9.pth',
    )
    changed = write_run(tmp_path / 'c', results(), seed=2, **other)
    seeds = [r.origin for r in measured(tables(first, same, changed)[0])]
    assert seeds == [
        'measured (seed 0, 1; iteration 40)',
        'measured (seed 2; iteration 40)',
    ]


def test_what_a_loop_made_is_of_each_seed(tmp_path):
    folders = [
        write_run(
            tmp_path / str(seed),
            results(),
            seed=seed,
            inputs_sha256={'images_1': f'hash {seed}'},
            model=dict(
                type='A', images=f'/runs/{seed}/images_{1 + seed // 2}'
            ),
        )
        for seed in range(3)
    ]
    seeds = [r.origin[9:20] for r in measured(tables(*folders)[0])]
    assert seeds == ['(seed 0, 1;', '(seed 2; it']


def test_names_join_and_part(tmp_path):
    folders = [
        write_run(tmp_path / 'a', results(), model=dict(labels='of seed 0')),
        write_run(tmp_path / 'b', results(), model=dict(labels='1'), seed=1),
        write_run(tmp_path / 'c', results(), model=dict(labels='1'), seed=2),
    ]
    rows = measured(tables(*folders, names=['BDL', 'BDL', 'other'])[0])
    assert [(r.method, r.origin[9:21]) for r in rows] == [
        ('BDL', '(seed 0, 1; '),
        ('other', '(seed 2; ite'),
    ]


def test_other_classes_and_drawn_data_have_tables_of_their_own(tmp_path):
    few = {'type': 'CityscapesDataset', 'metainfo': {'classes': ('a', 'b')}}
    own = write_run(tmp_path / 'own', results(('a', 'b')), target=few)
    drawn = write_run(
        tmp_path / 'drawn',
        results(CITYSCAPES[:3]),
        target=TARGET | dict(data_root='data/minitown/cityscapes'),
    )
    (tmp_path / 'minitown.json').touch()
    elsewhere = write_run(
        tmp_path / 'elsewhere',
        results(),
        target=TARGET | dict(data_root=str(tmp_path / 'cityscapes')),
    )
    found = tables(own, drawn, elsewhere)
    assert [table.classes for table in found] == [
        ('a', 'b'),
        CITYSCAPES[:3],
        CITYSCAPES,
    ]
    assert all(len(table.rows) == 1 for table in found)
    assert found[1].title == (
        'GTADataset → CityscapesDataset in data/minitown/cityscapes'
    )


def test_a_supervised_run_counts_by_its_source(tmp_path):
    folder = write_run(
        tmp_path / 'x',
        results(),
        train_dataloader=dict(dataset=dict(type='GTADataset')),
    )
    assert tables(folder)[0].title == 'GTA5 → Cityscapes'


@pytest.mark.parametrize('name', ['target', 'night'])
def test_a_run_without_source_has_a_dash(tmp_path, name):
    dataset = dict(type='UDADataset', domains={name: dict(TARGET)})
    folder = write_run(
        tmp_path / 'x', results(), train_dataloader=dict(dataset=dataset)
    )
    [table] = tables(folder)
    assert table.title == '– → CityscapesDataset in data/cityscapes'
    assert [row.method for row in table.rows] == [f'{tmp_path.name}/x']
    assert r'-- $\to$ CityscapesDataset' in to_latex(table)


MARKDOWN = """\
## A → B

| method | figures | road | light | mIoU |
| --- | --- | ---: | ---: | ---: |
| Old | quoted (poster) | 50.0 | – | 40.0 |
| new_1 & 2 | measured (seed 0) | 51.2 | 3.0 | 45.3 ± 1.2 |

- IoU and its means in percent
- ± is the standard deviation over the seeds
- {quoted}
- Old, quoted (poster): 50 % guessed
"""
LATEX = r"""\begin{tabular}{llrr|r}
\multicolumn{5}{l}{A $\to$ B} \\
\hline
method & figures & road & light & mIoU \\
\hline
Old & quoted (poster) & 50.0 & -- & 40.0 \\
new\_1 \& 2 & measured (seed 0) & 51.2 & 3.0 & 45.3 $\pm$ 1.2 \\
\hline
\end{tabular}
\par
IoU and its means in percent. \\
$\pm$ is the standard deviation over the seeds. \\
{quoted}. \\
Old, quoted (poster): 50 \% guessed.
"""


QUOTED = (
    'quoted (poster): from the poster of CAG-UDA, NeurIPS 2019, not measured '
    'here'
)


def test_rendering():
    old = Row(
        'Old',
        'quoted (poster)',
        {'road': 50.0},
        {'mIoU': (40.0, None)},
        '50 % guessed',
    )
    iou = {'road': 51.24, 'traffic light': 3.0}
    new = Row('new_1 & 2', 'measured (seed 0)', iou, {'mIoU': (45.31, 1.19)})
    table = ResultTable(
        'A → B', ('road', 'traffic light'), ('mIoU',), [old, new]
    )
    assert to_markdown(table) == MARKDOWN.replace('{quoted}', QUOTED)
    assert to_latex(table) == LATEX.replace('{quoted}', QUOTED)


def call(monkeypatch, *arguments) -> None:
    script = 'tools/analysis/make_table.py'
    monkeypatch.setattr(sys, 'argv', [script, *map(str, arguments)])
    runpy.run_path(str(ROOT / script), run_name='__main__')


def test_the_command(tmp_path, monkeypatch, capsys):
    folder = write_run(tmp_path / 'a=b', results())
    other = write_run(tmp_path / 'c', results(start=30), model=dict(k=1))
    out = tmp_path / 'out' / 'table.v1'
    call(monkeypatch, folder, f'CAG={other}', '--out', out)
    text = Path(f'{out}.md').read_text()
    assert text in capsys.readouterr().out
    assert '/a=b | measured' in text and '| CAG | measured' in text
    assert r'\begin{tabular}' in Path(f'{out}.tex').read_text()


def damage(folder: Path, how: str) -> None:
    notes = folder / 'validation.json'
    if how == 'no result':
        notes.unlink()
    elif how == 'no config':
        (folder / 'config.py').unlink()
    elif how == 'unfinished':
        notes.write_text('{"20": {"mIoU": 1.0}}')
    elif how == 'no length':
        (folder / 'config.py').write_text('train_cfg = None')
    elif how == 'damaged':
        notes.write_text('[1, 2')


@pytest.mark.parametrize(
    ('how', 'line'),
    [
        ('no result', 'x: no validation.json, expected the work dir of'),
        ('no config', 'x: no config *.py of the run'),
        ('unfinished', 'x: its last result is from iteration 20 of 40'),
        ('no length', 'x: its last result is from iteration 40 of None'),
        ('damaged', 'validation.json: not readable as JSON'),
    ],
)
def test_what_is_no_finished_run(tmp_path, monkeypatch, how, line):
    folder = write_run(tmp_path / 'x', results())
    damage(folder, how)
    with pytest.raises(SystemExit) as caught:
        call(monkeypatch, folder, '--out', tmp_path / 'table')
    message = caught.value.code
    assert message.startswith(f'error: {tmp_path}') and line in message
    assert '\n' not in message
    assert not (tmp_path / 'table.md').exists()


def test_the_same_run_twice(tmp_path):
    folder = write_run(tmp_path / 'x', results())
    with pytest.raises(ValueError, match='x: given twice'):
        tables(folder, folder)
    again = write_run(tmp_path / 'y', results())
    with pytest.raises(ValueError, match='y: has the same method and seed 0'):
        tables(folder, again)
