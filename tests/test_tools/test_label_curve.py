# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""tools/label_curve.py on tiny towns."""

from __future__ import annotations

import json
import re
import runpy
from dataclasses import replace
from pathlib import Path

import pytest
from benchmarks.rows.store import path_of, write_row
from curve.ranking import find_candidates, rank
from curve.runs import (
    ALONE,
    BOTH,
    NOBODY,
    ORACLE,
    START,
    Choice,
    Curve,
    Run,
    _config,
    choice_of,
)
from curve.show import one_machine_a_seed, points, write_table
from curve.work import do, scored_on
from mmengine.config import Config
from mmseg.registry import DATASETS

from mmseg_cag.datasets.roles import (
    Roles,
    labelled_images,
    read_roles,
    write_roles,
)
from mmseg_cag.errors import UserError
from mmseg_cag.fileio.images import read_image
from tests import tiny

TOOL = Path(__file__).parents[2] / 'tools/label_curve.py'


def write_config(cfg: Config, path: Path) -> str:
    """Write a config but for its layout, which takes seconds."""
    cfg.pop('work_dir')
    lines = [f'{key} = {value!r}' for key, value in cfg.to_dict().items()]
    path.write_text('\n'.join(lines))
    return str(path)


def short(root: Path, model: dict, dataset: dict) -> Config:
    """A run of two iterations that is scored on the validation images."""
    cfg = tiny.run_config(root, root / 'unused')
    tiny.one_stage(cfg, 2)
    cfg.model = model
    cfg.default_hooks.checkpoint.interval = 2
    cfg.train_dataloader.dataset = dataset
    cfg.test_dataloader = cfg.val_dataloader
    cfg.test_evaluator = cfg.val_evaluator
    cfg.test_cfg = dict(type='TestLoop')
    cfg.visualizer = dict(type='SegLocalVisualizer', vis_backends=[])
    return cfg


@pytest.fixture
def curve(tmp_path) -> Curve:
    """A curve of DACS on tiny towns, 0, 1 and 3 labels."""
    tiny.write_towns(tmp_path)
    labelled = dict(type='SupervisedSegmentor')
    few = dict(
        type='RoleSubset',
        roles='roles.json',
        role='train',
        first=1,  # of a run on its own; the curve takes all of its files
        dataset=tiny.cityscapes(tmp_path, 'train'),
    )
    target = dict(
        type='RoleSubset',
        roles='roles.json',
        dataset=tiny.cityscapes(tmp_path, 'train', labelled=False),
    )
    source = dict(
        type='DomainPool',
        members=dict(source=tiny.gta(tmp_path), few=few),
        shares=dict(source=0.5, few=0.5),
    )
    parts = {
        'start': (
            tiny.segmentor() | labelled,
            dict(source=tiny.gta(tmp_path)),
        ),
        'alone': (tiny.segmentor() | labelled, dict(source=few)),
        'oracle': (
            tiny.segmentor() | labelled,
            dict(source=tiny.cityscapes(tmp_path, 'train')),
        ),
        'dacs': (tiny.dacs(), dict(source=source, target=target)),
    }
    paths = {}
    for name, (model, domains) in parts.items():
        dataset = dict(type='UDADataset', domains=domains)
        cfg = short(tmp_path, model, dataset)
        if name == 'dacs':
            cfg.start_from = paths['start']
        paths[name] = write_config(cfg, tmp_path / f'{name}.py')
    return Curve(
        paths['dacs'],
        paths['alone'],
        paths['oracle'],
        tmp_path / 'work',
        (0, 1, 3),
    )


def assign(curve: Curve, group: str = '', **places: list[int]) -> Curve:
    """Give some images the roles choose and certify."""
    root = curve.folder.parent
    dataset = DATASETS.build(tiny.cityscapes(root, 'train'))

    def group_of(name: str) -> str:
        return re.search(group, name)[0]

    images = {
        role: labelled_images(dataset, own, group_of)
        for role, own in places.items()
    }
    classes = tuple(dataset.metainfo['classes'])
    write_roles(root / 'roles.json', Roles(classes, images, group=group))
    return replace(curve, roles=str(root / 'roles.json'), score_on='certify')


def images_of(node: dict) -> list[str]:
    dataset = DATASETS.build(node)
    return [dataset.get_data_info(i)['img_path'] for i in range(len(dataset))]


def test_labelled_images_are_nested_and_the_others_stay(curve):
    curve = find_candidates(assign(curve, choose=[4], certify=[0]))
    assert len(curve.candidates) == 3
    rank(curve, Choice('random', 0))
    few = {}
    for labels in (1, 3):
        run = Run(BOTH, 'random', labels, 0)
        domains = curve.plan(run).train_dataloader.dataset.domains
        few[labels] = images_of(domains.source.members.few)
        if labels == 1:
            rest = images_of(domains.target)
    assert list(map(len, few.values())) == [1, 3] and few[3][:1] == few[1]
    # Neither chosen by nor certified on.
    assert sorted(rest) == sorted(few[3][1:])
    other = rank(curve, Choice('random', 3))
    orders = [
        [one.image for one in read_roles(path).of('train')]
        for path in (
            other / '3.json',
            curve.roles_file(Choice('random', 0), 3),
        )
    ]
    assert orders[0] != orders[1] and sorted(orders[0]) == sorted(orders[1])


def test_other_images_of_a_held_group_are_no_candidates(curve, capsys):
    group = 'bern(?=_00000[0-2])|_'
    curve = replace(assign(curve, group, certify=[0]), labels=(2,))
    curve = find_candidates(curve)
    numbers = [name.split('_')[1] for name in curve.candidates]
    assert numbers == ['000003', '000004']
    # Nor may frames of another group be those that are certified on.
    folder = curve.folder.parent / 'cityscapes/leftImg8bit/train'
    images = sorted(folder.rglob('*.png'))
    picture = read_image(str(images[0]))[..., ::-1]
    tiny.save_image(images[3], picture // 2 + 60)
    rank(curve, Choice('random', 0))
    told = f'{images[3]} is a near-duplicate of {images[0]}'
    assert told in capsys.readouterr().out


def test_without_labels_the_method_is_alone(curve):
    curve = find_candidates(curve)
    run = Run(BOTH, NOBODY, 0, 0)
    rank(curve, choice_of(run))
    domains = curve.plan(run).train_dataloader.dataset.domains
    assert domains.source.members.few is None
    assert len(DATASETS.build(domains.source)) == 7
    assert len(images_of(domains.target)) == 5


def test_the_runs_of_a_seed_come_before_those_of_the_next(curve):
    runs = curve.runs(['random'], [0, 1])
    assert [run.name for run in runs[:7]] == [
        'start',
        'oracle',
        'both_none_0',
        'alone_random_1',
        'both_random_1',
        'alone_random_3',
        'both_random_3',
    ]
    assert [run.seed for run in runs] == [0] * 7 + [1] * 7


def test_a_row_depends_on_settings_and_choice_not_on_seed_or_place(
    curve, monkeypatch
):
    monkeypatch.chdir(curve.folder.parent)
    curve = find_candidates(curve)
    run = Run(BOTH, 'anchors', 1, 0)
    same = [
        curve.identity(run),
        curve.identity(run._replace(seed=1)),
        replace(curve, folder=Path('elsewhere'), workers=3).identity(run),
    ]
    others = [
        curve.identity(run._replace(labels=3)),
        curve.identity(run._replace(by='random')),
        curve.identity(run._replace(setting=ALONE)),
        replace(curve, score_on='certify').identity(run),
        replace(curve, score_on='choose').identity(run),
        replace(curve, labels=(0, 1)).identity(run),
        replace(curve, options={'optim_wrapper.optimizer.lr': 1.0}).identity(
            run
        ),
        replace(curve, candidates=curve.candidates[1:]).identity(run),
    ]
    roles = Path('roles.json')
    roles.write_text('of whatever images')
    # Those that are there count, not the file that the config names.
    same.append(curve.identity(run))
    assert len({*same}) == 1
    assert len({*same, *others}) == 1 + len(others)
    # The network that ranks, and that is adapted, counts.
    start = Path(curve.start())
    start.write_text(start.read_text() + '\nmodel["decode_head"]["x"] = 1')
    _config.cache_clear()
    assert curve.identity(run) not in {*same, *others}


def test_rows_that_are_there_are_not_measured_again(curve, tmp_path):
    list_jobs = runpy.run_path(str(TOOL))['list_jobs']
    curve = replace(find_candidates(curve), oracle=None)
    runs = curve.runs(['random'], [0])
    jobs = list_jobs(curve, runs, tmp_path, 'gpu')
    kinds = [job.key for job in jobs]
    assert len(kinds) == len({*kinds}) == 6 + 2  # with two choices
    both, alone = Run(BOTH, 'random', 3, 0), Run(ALONE, 'random', 3, 0)
    after = {job.key: job.after for job in jobs}
    start, choice = Run(START, NOBODY, 0, 0), Choice('random', 0)
    assert after[both] == [start, choice] and after[alone] == [choice]
    for run in runs:
        if run != both:
            write_row(tmp_path, content(curve, run))
    left = [job.key for job in list_jobs(curve, runs, tmp_path, 'gpu')]
    assert left == [start, choice, both]
    write_row(tmp_path, content(curve, both))
    assert not list_jobs(curve, runs, tmp_path, 'gpu')
    old = {**content(curve, both), 'config': 'of other settings'}
    write_row(tmp_path, old)
    assert list_jobs(curve, runs, tmp_path, 'gpu')[-1].key == both
    assert path_of(tmp_path, 'gpu', curve.row(both)).is_file()


def content(curve: Curve, run: Run, miou: float = 50.0) -> dict:
    """What the file of a row holds."""
    machine = {'class': 'gpu', 'processor': 'GPU', 'cpu_cores': 16}
    names = ('python', 'torch', 'mmengine', 'mmseg', 'mmseg_cag')
    return {
        **curve.row(run)._asdict(),
        **run._asdict(),
        'config': curve.identity(run),
        'scores': {'iter_2': {'mIoU': miou}},
        'interval': [miou - 2, miou + 3],
        'images': 2,
        'machine': machine,
        'versions': dict.fromkeys(names, '1'),
        'date': '2026-01-01',
    }


def test_the_table_has_intervals_and_what_the_next_label_buys(curve):
    curve = find_candidates(curve)
    values = {
        Run(START, NOBODY, 0, 0): 20,
        Run(ORACLE, NOBODY, 0, 0): 60,
        Run(BOTH, NOBODY, 0, 0): 30,
        Run(BOTH, 'random', 3, 0): 36,
        Run(BOTH, 'random', 3, 1): 40,
        Run(BOTH, 'anchors', 3, 0): 35,
        Run(ALONE, 'random', 3, 0): 28,
    }
    rows = [content(curve, run, value) for run, value in values.items()]
    found = points(rows)
    assert found[BOTH, 'random', 3] == (38, 36, 40, 2)
    assert found[BOTH, NOBODY, 0] == (30, 28, 33, 1)
    text = write_table(rows)
    assert '| 3 | 28.0 [26.0, 31.0], one seed |' in text
    assert '38.0 [36.0, 40.0], 2 seeds |' in text
    # Of the seed that both have.
    assert 'labels and adaptation, at random: +2.00 from 0 to 3' in text
    # By the seeds that have both.
    assert '3 chosen by anchors: -1.0 (-1.0)' in text
    assert 'source only 20.0' in text
    assert 'all labels of the target 60.0' in text


def test_each_seed_comes_from_the_machine_with_most_of_its_rows(curve):
    curve = find_candidates(curve)
    start, both = Run(START, NOBODY, 0, 0), Run(BOTH, NOBODY, 0, 0)
    again = [run._replace(seed=1) for run in (start, both)]
    gpu = [content(curve, run, 30) for run in (start, both, again[0])]
    cpu = [content(curve, run, 40) for run in (start, *again)]
    for row in cpu:
        row['machine'] = {'class': 'a', 'processor': 'CPU', 'cpu_cores': 2}
    rows = one_machine_a_seed({'gpu': gpu, 'a': cpu})
    assert rows == gpu[:2] + cpu[1:]
    text = write_table(rows)
    assert 'source only 35.0 [30.0, 40.0]' in text
    assert 'Seed 0: 2 runs on GPU' in text
    assert 'Seed 1: 2 runs on CPU' in text
    assert 'Seed 0:' not in write_table(gpu)


def test_rows_of_other_settings_are_in_no_table(
    curve, tmp_path, monkeypatch, capsys
):
    curve = find_candidates(curve)
    results, page = tmp_path / 'rows', tmp_path / 'page.md'
    pool = replace(curve, labels=(0, 1))
    for one, run, value in (
        (curve, Run(BOTH, NOBODY, 0, 0), 30),
        (curve, Run(BOTH, 'anchors', 1, 1), 31),
        # Chosen from another pool.
        (pool, Run(BOTH, 'anchors', 3, 0), 77),
    ):
        write_row(results, content(one, run, value))
    page.write_text('<!-- results -->\n<!-- end of results -->\n')
    tool = runpy.run_path(str(TOOL))
    words = [TOOL, curve.config, '--by', 'anchors', '--labels', '0', '1', '3']
    words += ['--results', results, '--work-dir', tmp_path, '--doc', page]

    def show(*more: object) -> str:
        monkeypatch.setattr('sys.argv', [*map(str, [*words, *more])])
        tool['show'](tool['parse_args']())
        out = capsys.readouterr().out
        assert ('77.0' in out) == ('77.0' in page.read_text())
        return out

    out = show()
    assert '30.0' in out and '31.0' in out and '77.0' not in out
    assert 'gpu: not shown, of other settings than those' in out
    assert 'does not name: both_anchors_3 seed 0' in out
    out = show('--table-only')
    assert '77.0' in out and 'gpu: shown, of other settings' in out
    # Without the data, a table can be shown and not compared.
    (tmp_path / 'cityscapes').rename(tmp_path / 'elsewhere')
    assert 'settings of rows are not compared' in show('--table-only')
    with pytest.raises(UserError, match='no folder'):
        show()


def test_rows_of_another_command_with_equal_settings_stay(
    curve, tmp_path, monkeypatch, capsys
):
    curve = find_candidates(curve)
    page = tmp_path / 'page.md'
    page.write_text('<!-- results -->\n<!-- end of results -->\n')
    for run, value in (
        (Run(START, NOBODY, 0, 0), 20),
        (Run(ALONE, 'random', 3, 0), 28),
        (Run(BOTH, 'anchors', 3, 0), 31),
        (Run(BOTH, 'random', 1, 1), 32),
    ):
        write_row(tmp_path / 'rows', content(curve, run, value))
    tool = runpy.run_path(str(TOOL))
    monkeypatch.setitem(tool['show'].__globals__, 'draw', lambda *_: None)

    def shown(*options: str) -> tuple[list[str], str]:
        words = [TOOL, curve.config, *options, '--doc', page]
        words += ['--results', tmp_path / 'rows', '--work-dir', tmp_path]
        monkeypatch.setattr('sys.argv', [*map(str, words)])
        tool['show'](tool['parse_args']())
        text = page.read_text()
        means = ('20.0', '28.0', '31.0', '32.0')
        return [one for one in means if one in text], capsys.readouterr().out

    random = ('--by', 'random', '--labels', '3')
    found, out = shown(*random, '--alone', curve.alone)
    assert found == ['20.0', '28.0', '31.0', '32.0'] and 'not shown' not in out
    # The config of a run that is not named cannot be compared.
    found, out = shown(*random)
    assert found == ['20.0', '31.0', '32.0']
    assert 'that it does not name: alone_random_3 seed 0' in out
    found, _ = shown(*random, '--cfg-options', 'start_from=None')
    assert found == []


def test_too_few_images_are_refused(curve):
    with pytest.raises(UserError, match='--labels 6: 5 images of the target'):
        find_candidates(replace(curve, labels=(6,)))
    curve = assign(curve, choose=[4], certify=[0, 1])
    with pytest.raises(UserError, match='--labels 3: 2 images'):
        find_candidates(curve)
    # What a person has not labelled yet is no candidate.
    labels = curve.folder.parent / 'cityscapes/gtFine/train'
    next(labels.rglob('*_000002_*')).unlink()
    with pytest.raises(UserError, match='--labels 3: 1 images'):
        find_candidates(curve)


def test_a_label_outside_the_target_is_refused(curve):
    path = Path(curve.config)
    text = path.read_text()
    own = "data_prefix={'img_path': 'leftImg8bit/train'}"
    if own not in text:
        own = "'data_prefix': {'img_path': 'leftImg8bit/train'}"
    assert own in text
    path.write_text(text.replace(own, own.replace('train', 'val')))
    with pytest.raises(UserError, match='not among the images of the target'):
        find_candidates(curve)


def test_roles_that_overlap_or_have_other_classes_are_refused(curve):
    curve = assign(curve, choose=[4], certify=[0])
    content = json.loads(Path(curve.roles).read_text())
    twice = {**content, 'certify': content['choose']}
    Path(curve.roles).write_text(json.dumps(twice))
    with pytest.raises(UserError, match='expected each image once'):
        find_candidates(curve)
    other = {**content, 'classes': ['road']}
    Path(curve.roles).write_text(json.dumps(other))
    with pytest.raises(UserError, match="labels of the classes \\['road'\\]"):
        find_candidates(curve)


def test_a_config_without_a_few_labels_is_refused(curve):
    for config in (curve.start(), curve.oracle):
        with pytest.raises(UserError, match='expected a config with a few'):
            find_candidates(replace(curve, config=config))


def test_labels_of_a_start_or_an_oracle_are_refused(curve):
    few = 'trains on a RoleSubset of the role train, expected a start or an or'
    with pytest.raises(UserError, match=f'alone.py: {few}'):
        replace(curve, oracle=curve.alone).plan(Run(ORACLE, NOBODY, 0, 0))
    start = Run(START, NOBODY, 0, 0)
    semi = replace(curve, options={'start_from': curve.alone})
    with pytest.raises(UserError, match=f'alone.py: {few}'):
        semi.identity(start)
    # Also of a run that the start comes from.
    path = Path(curve.start())
    path.write_text(f'{path.read_text()}\nstart_from = {curve.alone!r}')
    _config.cache_clear()
    with pytest.raises(UserError, match=f'alone.py: {few}'):
        curve.plan(start)
    with pytest.raises(UserError, match='oracle.py: trains on no RoleSubset'):
        replace(curve, alone=curve.oracle).plan(Run(ALONE, 'random', 1, 0))


def test_a_start_has_the_options_that_the_method_gives_it(curve):
    curve = find_candidates(curve)
    options = {'start_options.train_cfg.max_iters': 7}
    changed = replace(curve, options=options)
    start = Run(START, NOBODY, 0, 0)
    assert changed.plan(start).train_cfg.max_iters == 7
    assert changed.checkpoint(start).name == 'iter_7.pth'
    for run in (start, Run(BOTH, 'random', 1, 0)):
        assert changed.identity(run) != curve.identity(run)
    wrong = replace(curve, options={'start_options.train_cfgs.a': 7})
    with pytest.raises(UserError, match='^start_options train_cfgs.a'):
        wrong.plan(start)


def test_no_labels_without_a_source_are_refused(curve):
    pool = 'train_dataloader.dataset.domains.source'
    semi = replace(curve, options={f'{pool}.members.source': None})
    assert semi.plan(Run(BOTH, 'random', 1, 0))
    with pytest.raises(UserError, match='^--labels 0: the config has no oth'):
        semi.plan(Run(BOTH, NOBODY, 0, 0))
    # As much as where it is all of the source.
    few = semi.method().train_dataloader.dataset.domains.source.members.few
    semi = replace(curve, options={pool: {'_delete_': True, **few}})
    with pytest.raises(UserError, match='^--labels 0: the config has no oth'):
        semi.plan(Run(BOTH, NOBODY, 0, 0))


def test_an_image_that_is_scored_is_not_trained_on(curve):
    path = Path(curve.config)
    text = path.read_text().replace('/val', '/train')
    path.write_text(text)
    curve = find_candidates(curve)
    rank(curve, Choice('random', 0))
    with pytest.raises(UserError, match='which was trained on'):
        do((curve, Run(ALONE, 'random', 1, 0)))


def test_a_curve_is_scored_on_images_to_choose_by(curve, monkeypatch):
    tool = runpy.run_path(str(TOOL))

    def scored(*options: str) -> str:
        words = [TOOL, curve.config, '--labels', '1', '--by', 'random']
        words += ['--roles', curve.folder.parent / 'roles.json', *options]
        monkeypatch.setattr('sys.argv', [*map(str, words)])
        planned = tool['make_curve'](tool['parse_args']())
        return [Path(path).name for path in scored_on(planned).paths]

    roles = curve.folder.parent / 'roles.json'
    assign(curve, choose=[4], certify=[0])
    assert [name.split('_')[1] for name in scored()] == ['000004']
    [certified] = scored('--score-on', 'certify')
    assert certified.split('_')[1] == '000000'
    assert len(scored('--score-on', 'test')) == 2
    roles.unlink()
    assign(curve, certify=[0])
    # Those are for the final evaluation, unless it is asked for.
    assert len(scored()) == 2
    with pytest.raises(UserError, match='^--score-on choose: no file of ro'):
        scored('--score-on', 'choose')


def test_an_oracle_of_the_scored_images_is_refused_before_any_run(
    curve, monkeypatch
):
    assign(curve, choose=[4])
    root = curve.folder.parent
    words = [TOOL, curve.config, '--oracle', curve.oracle, '--labels', 1]
    words += ['--roles', root / 'roles.json', '--work-dir', root / 'runs']
    monkeypatch.setattr('sys.argv', [*map(str, words), '--by', 'random'])
    tool = runpy.run_path(str(TOOL))
    monkeypatch.setitem(tool['measure'].__globals__, 'run_jobs', None)
    with pytest.raises(UserError, match='which was trained on') as caught:
        tool['measure'](tool['parse_args']())
    told = f'--oracle {curve.oracle}, --score-on choose: '
    assert str(caught.value).startswith(told)


def test_images_are_chosen_by_the_start_and_the_method_trained(
    curve, monkeypatch
):
    monkeypatch.setattr(Config, 'pretty_text', Config.pretty_text)
    curve = find_candidates(curve)
    start = do((curve, Run(START, NOBODY, 0, 0)))
    assert start['setting'] == START and start['steps'] == 2
    found = do((curve, Choice('anchors', 0)))
    train = read_roles(f'{found["folder"]}/3.json').of('train')
    assert len(train) == 3
    row = do((curve, Run(BOTH, 'anchors', 1, 0)))
    assert row['labelled'] == [train[0].image]
    assert row['images'] == 2 and row['start'] == START
    low, high = row['interval']
    assert low <= row['scores']['iter_2']['mIoU'] <= high
    assert {'machine', 'versions', 'config', 'seconds'} <= row.keys()
    # A finished run is scored again, not trained.
    again = do((curve, Run(BOTH, 'anchors', 1, 0)))
    assert again['scores'] == row['scores']


def test_the_page_is_checked_before_the_work(curve, monkeypatch):
    root = curve.folder.parent
    (root / 'bare.md').write_text('# Labels\n')
    for page, told in (
        ('none.md', 'none.md: not found, expected a page'),
        ('bare.md', 'bare.md: expected the marks'),
    ):
        words = [TOOL, curve.config, '--list', '--doc', root / page]
        monkeypatch.setattr('sys.argv', list(map(str, words)))
        with pytest.raises(SystemExit, match=told):
            runpy.run_path(str(TOOL), run_name='__main__')


@pytest.mark.long
def test_the_command_measures_draws_and_goes_on(curve, monkeypatch, capsys):
    root = curve.folder.parent
    (root / 'page.md').write_text(
        '<!-- results -->\n<!-- end of results -->\n'
    )

    def tool(*more: str) -> str:
        words = [TOOL, curve.config, '--alone', curve.alone, '--by', 'random']
        words += ['--labels', '0', '1', '--work-dir', root / 'runs', *more]
        monkeypatch.setattr('sys.argv', list(map(str, words)))
        runpy.run_path(str(TOOL), run_name='__main__')
        return capsys.readouterr().out

    assert 'both_random_1 seed 0' in tool('--list')
    out = tool('--doc', str(root / 'page.md'))
    assert '| 1 | ' in out
    assert 'All rows are there' in tool()
    text = (root / 'page.md').read_text()
    assert 'labels and adaptation' in text
    [picture] = (root / 'images').glob('labels_dacs*.png')
    assert picture.name in text
    with pytest.raises(SystemExit, match='error: --labels 9: 5 images'):
        tool('--labels', '9')
