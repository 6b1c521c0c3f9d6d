# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""tools/certify.py on tiny towns, in this process."""

from __future__ import annotations

import json
import runpy
import shutil
from pathlib import Path

import pytest
import torch
from mmseg.registry import DATASETS, MODELS

from mmseg_cag.analysis.evaluate import evaluate
from mmseg_cag.datasets.roles import Roles, labelled_images, write_roles
from mmseg_cag.fileio.images import read_image
from tests import tiny

ROOT = Path(__file__).parents[2]
TOOL = ROOT / 'tools/certify.py'


@pytest.fixture
def towns(tmp_path):
    """Towns, the config of a run on them and two checkpoints."""
    tiny.write_towns(tmp_path)
    cfg = tiny.run_config(tmp_path, tmp_path / 'run')
    cfg.model = tiny.segmentor()
    cfg.test_dataloader = cfg.val_dataloader
    cfg.test_evaluator = cfg.val_evaluator
    cfg.test_cfg = dict(type='TestLoop')
    for name in ('iter_1', 'iter_2'):
        state = MODELS.build(cfg.model).state_dict()
        torch.save({'state_dict': state}, tmp_path / f'{name}.pth')
    # What `Config.dump` writes but for its layout, which takes seconds.
    lines = [f'{key} = {value!r}' for key, value in cfg.to_dict().items()]
    (tmp_path / 'config.py').write_text('\n'.join(lines))
    return tmp_path, cfg


@pytest.fixture
def run(towns, monkeypatch):
    """Run the tool in this process; returns what it wrote."""
    root, _ = towns

    def tool(*arguments: object) -> dict:
        words = [TOOL, root / 'config.py', root / 'iter_1.pth', *arguments]
        out = root / 'found.json'
        monkeypatch.setattr('sys.argv', [*map(str, words), '--out', str(out)])
        runpy.run_path(str(TOOL), run_name='__main__')
        return json.loads(out.read_text())

    return tool


def roles_file(root: Path, split: str = 'val', **numbers: list[int]) -> Path:
    dataset = DATASETS.build(tiny.cityscapes(root, split))
    images = {
        role: labelled_images(dataset, places)
        for role, places in numbers.items()
    }
    roles = Roles(tuple(dataset.metainfo['classes']), images)
    path = root / 'roles.json'
    write_roles(path, roles)
    return path


def test_it_tells_scores_with_intervals_and_a_difference(towns, run, capsys):
    root, _ = towns
    options = ('--foreground', 'car', '--resamples', '200')
    found = run('--against', root / 'iter_2.pth', *options)
    first, second = found['networks']
    for network in (first, second):
        score = network['mIoU']
        assert score['low'] <= score['value'] <= score['high']
        assert network['F1']['car'] == network['F1']['mean']
    value = first['mIoU']['value'] - second['mIoU']['value']
    assert found['difference']['mIoU']['value'] == pytest.approx(
        value, abs=0.02
    )
    assert first['IoU'].keys() == second['IoU'].keys()
    assert found['images'] == found['groups'] == 2
    assert 'train' in found['absent']
    assert '95 % intervals' in capsys.readouterr().out


def test_the_score_is_that_of_the_evaluation(towns, run):
    root, cfg = towns
    expected = evaluate(cfg, root / 'iter_1.pth', root / 'log')
    assert run('--resamples', '100')['networks'][0]['mIoU'][
        'value'
    ] == pytest.approx(expected, abs=0.02)


def test_images_of_a_role_and_their_groups(towns, run):
    root, _ = towns
    path = roles_file(root, certify=[1], choose=[0])
    assert run('--roles', path)['images'] == 1
    (root / 'found.json').unlink()
    assert run('--group', '^.*bern_')['groups'] == 1


def test_a_set_that_the_network_has_seen_is_refused(towns, run):
    root, _ = towns
    # The same picture as a training image, under another name.
    [first, *_] = sorted(
        (root / 'cityscapes/leftImg8bit/train').rglob('*.png')
    )
    [other, *_] = sorted((root / 'cityscapes/leftImg8bit/val').rglob('*.png'))
    original = other.read_bytes()
    shutil.copy(first, other)
    with pytest.raises(SystemExit, match='which was trained on'):
        run()
    other.write_bytes(original)
    shutil.copy(root / 'iter_1.pth', root / 'best_mIoU_iter_1.pth')
    with pytest.raises(SystemExit, match='which was chosen on'):
        run('--against', root / 'best_mIoU_iter_1.pth')
    assert not (root / 'found.json').exists()


def test_a_near_duplicate_is_warned_of(towns, run, capsys):
    root, _ = towns
    [first, *_] = sorted(
        (root / 'cityscapes/leftImg8bit/train').rglob('*.png')
    )
    [other, *_] = sorted((root / 'cityscapes/leftImg8bit/val').rglob('*.png'))
    brighter = read_image(str(first))[..., ::-1] // 2 + 60
    tiny.save_image(other, brighter)
    run('--resamples', '100')
    shown = capsys.readouterr().out
    assert f'{other} is a near-duplicate of {first}' in shown


def test_what_is_wrong_is_said_in_one_line(towns, run):
    root, _ = towns
    with pytest.raises(SystemExit, match='--foreground cat: expected one'):
        run('--foreground', 'cat')
    with pytest.raises(SystemExit, match='--group x_ does not match it'):
        run('--group', 'x_')
    empty = roles_file(root, choose=[0])
    with pytest.raises(SystemExit, match='no image has the role certify'):
        run('--roles', empty)
    content = json.loads(empty.read_text())
    content['classes'][0] = 'street'
    empty.write_text(json.dumps(content))
    with pytest.raises(SystemExit, match="labels of the classes .'street'"):
        run('--roles', empty)
    (root / 'found.json').write_text('kept')
    with pytest.raises(SystemExit, match='already exists, expected a new'):
        run()
    assert (root / 'found.json').read_text() == 'kept'
