# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Reports of runs in every state, and what the file needs."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from html import escape
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from mmseg_cag.analysis.report.charts import known_points
from mmseg_cag.analysis.report.class_tables import make_table
from mmseg_cag.analysis.report.gap import read_gap
from mmseg_cag.analysis.report.measure import Measured, measure
from mmseg_cag.analysis.report.networks import list_networks, load_network
from mmseg_cag.analysis.report.run import RecordedRun, read_run
from mmseg_cag.analysis.report.write import SECTIONS, write_report
from mmseg_cag.analysis.runs.run import find_start_checkpoint
from mmseg_cag.errors import MissingFileError

SPIKE = '<script>window.spiked = true</script>'  # a class of the run


def write(*folders: Path) -> str:
    out = folders[0].parent / 'out.html'
    text = write_report(folders, out, images=2).read_text()
    # The program that draws the charts speaks of scripts, too.
    text = re.sub(r'<script>.*?</script>', '', text, flags=re.S)
    for name in SECTIONS:
        assert f'<section id="{name}"' in text
    return text


def read_lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_what_the_run_wrote_is_not_computed(recorded):
    _, found = look(recorded, 2)
    assert not found.activities and not found.missing
    for stage in ('stage 1', 'stage 2'):
        assert found.scores[stage].images is None
        assert found.scores[stage].confusion.sum() > 0
    assert found.scores['source'].images == 2


def look(folder: Path, images: int) -> tuple[RecordedRun, Measured]:
    run = read_run(folder)
    networks = list_networks(run)
    return run, measure(run, networks, images, 1, lambda x, title: x)


def test_a_gain_is_of_equal_images(recorded):
    notes = json.loads((recorded / 'validation.json').read_text())
    notes = {'3': {**notes['3'], 'mIoU': 10.0}}
    (recorded.parent / 'source/validation.json').write_text(json.dumps(notes))
    run, found = look(recorded, 1)
    table = make_table(found, run.classes)
    last = run.mean_iou[6]
    assert table.overall[-1] == (last, pytest.approx(last - 10.0))
    assert table.has_gain and not table.is_unequal
    # Its run validated on other images of the same data set.
    config = recorded.parent / 'source/config.py'
    cfg = Config.fromfile(config)
    cfg.val_dataloader.dataset.indices = [0]
    lines = [f'{key} = {value!r}' for key, value in cfg.to_dict().items()]
    config.write_text('\n'.join(lines))
    run, found = look(recorded, 1)  # of two
    table = make_table(found, run.classes)
    assert found.scores['source'].images == 1
    assert not table.has_gain and table.is_unequal
    gains = [gain for cells in table.rows.values() for _, gain in cells]
    assert {*gains, table.overall[-1][1], table.mean[-1][1]} == {None}
    text = write_report([recorded], recorded.parent / 'a.html', 1).read_text()
    assert text.count('--images 2 scores both on all') == 2
    run, found = look(recorded, 2)
    table = make_table(found, run.classes)
    assert table.has_gain and not table.is_unequal
    start = found.scores['source'].mean
    assert table.overall[-1] == (last, pytest.approx(last - start))


def test_recorded_and_computed_values_share_no_line(bare):
    notes = bare.parent / 'source/validation.json'
    notes.write_text('{"3": {"mIoU": 1.0, "IoU.road": 2.0}}')
    run, found = look(bare, 1)
    assert found.scores['source'].is_recorded
    assert 0 not in known_points(run, found)


def origin_of(folder: Path) -> Path | None:
    return find_start_checkpoint(folder, read_run(folder).configs)


def test_a_start_may_have_the_name_of_the_run(recorded):
    start = recorded.parent / 'earlier/cag'
    shutil.move(recorded.parent / 'source', start)
    for path in recorded.rglob('*.py'):
        path.write_text(
            path.read_text().replace('source/iter', 'earlier/cag/iter')
        )
    assert origin_of(recorded) == start / 'iter_3.pth'
    # What is gone is not taken for the run's own checkpoint of that name.
    shutil.rmtree(start)
    assert origin_of(recorded) == start / 'iter_3.pth'
    # A run that was resumed, and moved since, has its own old folder.
    for path in recorded.rglob('*.py'):
        path.write_text(
            path.read_text().replace('earlier/cag/iter', 'cag/iter')
        )
    moved = Path(shutil.move(recorded, recorded.with_name('moved')))
    assert origin_of(moved) is None


def write_stage(folder: Path, start: Path | None, **loop: int) -> Path:
    """Write a run of one stage, and its validation."""
    folder.mkdir()
    loop |= {'stages': 1, 'stage_iters': 3}
    (folder / 'config.py').write_text(
        f'load_from = {start and str(start)!r}\ntrain_cfg = {loop}\n'
    )
    (folder / 'iter_3.pth').write_bytes(b'x')
    (folder / 'validation.json').write_text('{"3": {"mIoU": 1.0}}')
    return folder / 'iter_3.pth'


def test_stages_that_are_trained_alone_have_titles_of_their_own(tmp_path):
    first = write_stage(tmp_path / 'stage_1', None, first_stage=1)
    second = write_stage(tmp_path / 'stage_2', first, first_stage=2)
    found = list_networks(read_run(second.parent))
    assert [network.title for network in found] == ['stage 1', 'stage 2']
    assert [network.checkpoint for network in found] == [first, second]
    # Without a source the number is only in the checkpoint.
    third = write_stage(tmp_path / 'stage_3', first)
    found = list_networks(read_run(third.parent))
    assert [n.title for n in found] == ['before: stage 1', 'stage 1']


def test_a_teacher_without_anchors_makes_no_labels_by_them(recorded):
    for path in recorded.glob('iter_*.pth'):
        content = torch.load(path, weights_only=False)
        content['state_dict']['anchor_bank.counts'].zero_()
        torch.save(content, path)
    networks = list_networks(read_run(recorded))
    assert load_network(networks[-1]).teacher is None


def write_start(folder: Path, hour: str, start: Path, resume: bool) -> None:
    """Write what one process of a run recorded."""
    data = folder / hour / 'vis_data'
    data.mkdir(parents=True)
    (data / 'config.py').write_text(
        f'load_from = {str(start)!r}\nresume = {resume}\n'
    )
    (data / 'scalars.json').write_text(f'{{"iter": {hour}, "step": {hour}}}')
    stamp = f'2026/01/01 0{hour}:00:00 - \n'
    (folder / hour / 'a.log').write_text(
        f'{stamp}{stamp.replace("00:", "30:")}'
    )


def test_an_earlier_run_in_the_folder_is_left_out(tmp_path):
    run, first, second = (tmp_path / name for name in 'abc')
    write_start(run, '1', first / 'iter_3.pth', False)
    write_start(run, '2', run / 'iter_1.pth', True)
    found = read_run(run)
    assert origin_of(run) == first / 'iter_3.pth'
    assert [line['iter'] for line in found.training] == [1, 2]
    write_start(run, '3', second / 'iter_3.pth', False)
    write_start(run, '4', run / 'iter_1.pth', True)
    found = read_run(run)
    assert origin_of(run) == second / 'iter_3.pth'
    assert [line['iter'] for line in found.training] == [3, 4]
    assert found.seconds == 3600
    # A test trains nothing.
    write_start(run, '5', run / 'iter_3.pth', False)
    (run / '5/vis_data/scalars.json').unlink()
    assert origin_of(run) == second / 'iter_3.pth'


def test_the_config_is_shown(recorded):
    assert 'default_scope = &#39;mmseg&#39;' in write(recorded)


def test_what_the_run_wrote_is_shown_names_as_text(spiked):
    page = write(spiked)
    for chart in ('confusion', 'shares', 'coverage', 'gaps', 'anchors'):
        assert f'id="chart-{chart}-1"' in page
    last = json.loads((spiked / 'validation.json').read_text())['6']
    assert f'<strong>{last["mIoU"]:.1f}</strong>' in page
    assert f'data-value="{last["IoU.road"]}"' in page
    looks = read_lines(spiked / 'monitor.jsonl')
    assert f'Mean of {len(looks)} records' in page
    road = [look['coverage'].get('road') for look in looks[:3]]
    road = [share for share in road if share is not None]
    labels = page.split('id="labels"')[1]
    cells = re.search('>road</th>(.*?)</tr>', labels, re.S)
    shown = re.findall('data-value="(.*?)"', cells[1])
    assert float(shown[0]) == pytest.approx(100 * sum(road) / len(road))
    assert float(shown[1]) == pytest.approx(0.05)
    [_, anchors] = read_lines(spiked / 'anchors.jsonl')
    assert f'data-value="{anchors["drift"]["road"]}"' in page
    assert 'coverage</b> at iteration 5 (stage 2)' in page
    scores = json.loads((spiked / 'scores.json').read_text())
    assert f'data-value="{scores["scores"][-1]["source_mIoU"]}"' in page
    assert scores['choices']['entropy']['checkpoint'] in page
    assert SPIKE not in page and escape(SPIKE) in page
    assert not re.search(r'(src|href)="(?!data:|#)', page)
    assert (spiked.parent / 'out.html').stat().st_size < 15e6


def test_what_it_did_not_write_is_computed(bare):
    page = write(bare)
    assert 'omputed on 2 of 2 validation images' in page
    for chart in ('confusion', 'anchors', 'losses', 'miou'):
        assert f'id="chart-{chart}' in page
    assert page.count('class="slider"') == 2
    assert 'finished, 6 iterations' in page
    for lacking in ('alarms', 'coverage of each class', 'scores'):
        assert f'not recorded: {lacking}' in page


def test_computed_and_recorded_scores_are_the_same(recorded, bare_copy):
    def classes(page: str) -> list[float]:
        [part] = re.findall('<section id="classes".*?</section>', page, re.S)
        values = re.findall('data-value="([-.0-9]+)"', part)
        return [round(float(value), 1) for value in values]

    found, expected = classes(write(bare_copy)), classes(write(recorded))
    assert len(expected) > 8
    assert found == pytest.approx(expected, abs=0.11)


@pytest.fixture
def bare_copy(recorded) -> Path:
    copy = Path(shutil.copytree(recorded, recorded.parent / 'copy'))
    for path in copy.glob('*.json*'):
        path.unlink()
    for path in copy.glob('*/vis_data/scalars.json'):
        path.unlink()
    return copy


def test_runs_stand_side_by_side(recorded):
    page = write(recorded, recorded.parent / 'source')
    assert '>source</th>' in page and '>cag</th>' in page


def just_begun(run: Path) -> None:
    shutil.rmtree(run.parent / 'source')
    for path in [*run.glob('*.pth'), *run.glob('*.json*')]:
        path.unlink()
    [scalars] = run.glob('*/vis_data/scalars.json')
    scalars.unlink()


def killed(run: Path) -> None:
    """Within the second stage, in the middle of lines and of files."""
    for end in (5, 6):
        (run / f'iter_{end}.pth').unlink()
    for path in [*run.glob('*.json*'), run / 'iter_4.pth']:
        path.write_bytes(path.read_bytes()[:-99])
    [scalars] = run.glob('*/vis_data/scalars.json')
    scalars.write_bytes(scalars.read_bytes()[:700])


def without_images(run: Path) -> None:
    shutil.rmtree(run.parent / 'cityscapes')


def with_damaged_images(run: Path) -> None:
    for path in run.parent.glob('cityscapes/leftImg8bit/val/*/*'):
        path.write_text('none')


def without_checkpoints(run: Path) -> None:
    for path in run.glob('*.pth'):
        path.unlink()


def without_start(run: Path) -> None:
    """The first stage's teacher has its weights, too."""
    shutil.rmtree(run.parent / 'source')


def other_version(run: Path) -> None:
    """Records have other keys, and the network is none that we know."""
    (run / 'monitor.jsonl').write_text('{"step": 1}\n[]\nx\n')
    (run / 'anchors.jsonl').write_text('{"iter": 1, "distances": [[1]]}\n')
    (run / 'alarms.jsonl').write_text('{"iter": 7}\n')
    (run / 'scores.json').write_text('{"scores": [{}, 3], "choices": [1]}')
    (run / 'validation.json').write_text('{"a": 1, "6": {"mIoU": 3.0}}')
    for config in run.rglob('*.py'):
        text = config.read_text()
        config.write_text(text.replace('TinyBackbone', 'AncientBackbone'))


def odd_values(run: Path) -> None:
    """Where a number or a dictionary should be there is something else."""
    odd = {'iter': 1, 'coverage': 5, 'margin': 'x', 'active': None}
    other = {'iter': 2, 'coverage': {'road': 0.5}, 'margin_histogram': [3]}
    bins = {'edges': [0, 'a'], 'counts': {'road': [1]}}
    last = {**other, 'iter': 3, 'stage': 'b', 'margin_histogram': bins}
    lines = [json.dumps(look) for look in (odd, other, last)]
    (run / 'monitor.jsonl').write_text('\n'.join(lines))
    notes = {'mIoU': float('nan'), 'confusion_matrix': 'x', 'IoU.road': 'y'}
    (run / 'validation.json').write_text(json.dumps({'6': notes}))
    score = {'checkpoint': 3, 'entropy': float('nan'), 'mIoU': 'high'}
    choices = {'entropy': {'mIoU': []}, 'snd': 1}
    odd = {'scores': [score], 'choices': choices}
    (run / 'scores.json').write_text(json.dumps(odd))


def broken_config(run: Path) -> None:
    for config in run.rglob('*.py'):
        config.write_text('model = dict(')


CASES = {
    just_begun: ['not recorded: mIoU', 'not recorded: losses'],
    killed: ['iteration 4 of 6', 'validation.json: damaged', 'iter_4.pth'],
    without_images: ['not recorded: validation images'],
    with_damaged_images: ['cannot be read', 'chart-confusion-1'],
    without_checkpoints: ['no checkpoint was kept', 'chart-confusion-1'],
    without_start: ['>source</span>', 'class="slider"'],
    other_version: ['3 of 3 lines skipped', 'AncientBackbone'],
    odd_values: ['>road</th>', 'chart-losses-1'],
    broken_config: ['config is not plain data', 'no config'],
}


@pytest.mark.parametrize('harm', CASES, ids=[case.__name__ for case in CASES])
def test_a_broken_work_dir_says_what_is_missing(
    harm: Callable[[Path], None], recorded: Path
) -> None:
    harm(recorded)
    page = write(recorded)
    for said in CASES[harm]:
        assert said in page


def test_the_verdict_on_the_gap_is_shown(recorded, tmp_path):
    gap = {
        'verdict': 'adapt',
        'why': f'Most of all: {SPIKE}.',
        'findings': [{'name': 'colour', 'text': 'x 1.3', 'score': 2.94}, 'x'],
        'remedies': [{'name': 'resize', 'changed': 0.123, 'gain': [4.2, 1]}],
    }
    path = tmp_path / 'found.json'
    path.write_text(json.dumps(gap))
    assert 'not recorded: the gap' in write(recorded)
    shown = write_report([recorded], tmp_path / 'a.html', 2, path).read_text()
    shown = shown.split('<section id="gap"')[1]
    assert '<strong>adapt</strong>' in shown and escape(SPIKE) in shown
    for value in (2.94, 12.3, 4.2):
        assert f'data-value="{value}"' in shown
    with pytest.raises(MissingFileError, match='expected gap.json of'):
        write_report([recorded], tmp_path / 'a.html', 2, tmp_path / 'none')
    problems: list[str] = []
    path.write_text('{"verdict": "label", "findings": 3, "remedies": [{}]}')
    found = read_gap(path, problems)
    assert (found.verdict, found.findings) == ('label', [])
    path.write_text('{')
    assert read_gap(path, problems) is None and 'damaged' in problems[0]


def test_harm_is_said_first(recorded):
    told = 'car is predicted on 31.0% of the target'
    look = {'iter': 6, 'lost': True, 'reason': told, 'score': None}
    path = recorded / 'do_no_harm.jsonl'
    path.write_text(f'{json.dumps(look)}\n')
    page = write(recorded)
    assert page.index(told) < page.index('mIoU, %')
    path.write_text(f'{json.dumps({**look, "lost": False})}\n')
    assert told not in write(recorded)


def test_each_domain_of_a_pool_has_a_column(recorded):
    path = recorded / 'validation.json'
    notes = json.loads(path.read_text())
    notes['3'] |= {'mIoU.day': 41.5, 'mIoU.<night>': 12.3}
    notes['3'] |= {'teacher/mIoU': 43.2, 'teacher/mIoU.day': 123.4}
    path.write_text(json.dumps(notes))
    page = write(recorded)
    assert 'mIoU of each domain of' in page
    assert all(text in page for text in ('41.5', '12.3', '&lt;night&gt;'))
    assert all(text in page for text in ('43.2', '>teacher<'))
    assert '123.4' not in page
    assert '<night>' not in page
