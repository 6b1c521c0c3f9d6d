# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""tools/certify.py on tiny towns, in this process."""

from __future__ import annotations

import json
import runpy
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from mmseg.registry import DATASETS, MODELS

from mmseg_cag.analysis.evaluate import evaluate
from mmseg_cag.datasets.roles import (
    Roles,
    file_sha256,
    labelled_images,
    write_roles,
)
from mmseg_cag.engine.records.descent import OF_TARGET, entry, inherited
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
    (tmp_path / 'config.py').write_text(text_of(cfg))
    return tmp_path, cfg


def text_of(cfg: Config) -> str:
    """What `Config.dump` writes but for its layout, which takes seconds."""
    return '\n'.join(f'{k} = {v!r}' for k, v in cfg.to_dict().items())


def save_with(root: Path, name: str, **content: object) -> Path:
    """Save the weights of the first checkpoint with other content."""
    saved = torch.load(root / 'iter_1.pth', weights_only=True)
    torch.save({**saved, **content}, root / name)
    return root / name


def image_of(root: Path, split: str, number: int = 0) -> Path:
    folder = root / 'cityscapes/leftImg8bit' / split
    return sorted(folder.rglob('*.png'))[number]


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
    shown = capsys.readouterr().out
    assert '95 % intervals' in shown
    assert '2 groups of images are too few for a 95 % interval, exp' in shown


@pytest.mark.parametrize(
    ('level', 'told'),
    [
        # Without a difference all 6 gain in one set of 32: 3 %.
        (0.95, 'iter_1.pth is better than iter_2.pth'),
        (0.99, '6 groups of images are too few for a 99 % interval, expect'),
    ],
)
def test_a_verdict_needs_groups_for_its_level(capsys, level, told):
    row = dict(value=2.0, low=1.0, high=3.0)
    networks = [dict(checkpoint=f'iter_{i}.pth', mIoU=row) for i in (1, 2)]
    found = dict(images=6, groups=6, level=level, networks=networks, absent=[])
    found['difference'] = dict(mIoU=row)
    for one in (*networks, found['difference']):
        one['IoU'] = {}
    runpy.run_path(str(TOOL))['show'](found)
    assert told in capsys.readouterr().out


def test_the_score_is_that_of_the_evaluation(towns, run):
    root, cfg = towns
    state = torch.load(root / 'iter_1.pth', weights_only=True)['state_dict']
    # Of classes without a label, the evaluation counts predicted ones.
    bias = torch.full_like(state['decode_head.conv_seg.bias'], -1e3)
    bias[[tiny.ROAD, tiny.BUILDING, tiny.SKY, tiny.CAR]] = 0
    state['decode_head.conv_seg.bias'] = bias
    torch.save({'state_dict': state}, root / 'iter_1.pth')
    expected = evaluate(cfg, root / 'iter_1.pth', root / 'log')
    assert run('--resamples', '100')['networks'][0]['mIoU'][
        'value'
    ] == pytest.approx(expected, abs=0.02)


def test_images_of_a_role_and_their_groups(towns, run, capsys):
    root, _ = towns
    path = roles_file(root, certify=[1], choose=[0])
    assert run('--roles', path)['images'] == 1
    (root / 'found.json').unlink()
    found = run('--group', '^.*bern_', '--against', root / 'iter_2.pth')
    assert found['groups'] == 1
    # One group tells nothing about the spread, so neither network wins.
    assert found['difference']['mIoU']['low'] is None
    assert 'no verdict' in capsys.readouterr().out


def test_the_roles_file_may_be_that_of_the_test_set(towns, run):
    root, cfg = towns
    subset = dict(
        type='RoleSubset',
        roles=str(roles_file(root, certify=[1], choose=[0])),
        role='certify',
        dataset=cfg.test_dataloader.dataset,
    )
    cfg.test_dataloader = {**cfg.test_dataloader, 'dataset': subset}
    (root / 'config.py').write_text(text_of(cfg))
    assert run('--resamples', '100')['images'] == 1


def test_a_combined_test_set_is_certified_by_roles_only(towns, run):
    root, cfg = towns
    dataset = cfg.test_dataloader.dataset
    pool = dict(type='DomainPool', members=dict(day=dataset, night=dataset))
    cfg.test_dataloader = {**cfg.test_dataloader, 'dataset': pool}
    (root / 'config.py').write_text(text_of(cfg))
    with pytest.raises(SystemExit, match='dataset: combines 2 data sets, exp'):
        run()
    assert run('--roles', roles_file(root, certify=[1]))['images'] == 1


def test_images_of_which_norms_have_the_statistics_are_refused(towns, run):
    root, cfg = towns
    # A run on the source alone reads its target for nothing else.
    cfg.train_dataloader.dataset = tiny.gta(root)
    cfg.target_dataset = tiny.cityscapes(root, 'val', labelled=False)
    (root / 'config.py').write_text(text_of(cfg))
    assert run('--resamples', '100')['images'] == 2
    (root / 'found.json').unlink()
    told = 'which set the statistics of batch norms'
    descent = [entry('data', 'town', None, None, OF_TARGET)]
    other = save_with(root, 'other.pth', meta={'descent': descent})
    with pytest.raises(SystemExit, match=told):
        run('--against', other)
    hook = dict(type='NormStatisticsHook')
    cfg.default_hooks.norm_statistics = hook
    (root / 'config.py').write_text(text_of(cfg))
    with pytest.raises(SystemExit, match=told):
        run()


def test_a_set_that_the_network_has_seen_is_refused(towns, run):
    root, _ = towns
    # The same picture as a training image, under another name.
    first, other = image_of(root, 'train'), image_of(root, 'val')
    original = other.read_bytes()
    shutil.copy(first, other)
    with pytest.raises(SystemExit, match='which was trained on'):
        run()
    other.write_bytes(original)
    shutil.copy(root / 'iter_1.pth', root / 'best_mIoU_iter_1.pth')
    with pytest.raises(SystemExit, match='which was chosen on'):
        run('--against', root / 'best_mIoU_iter_1.pth')
    assert not (root / 'found.json').exists()


@pytest.mark.parametrize('purpose', ['given a threshold', 'exported from'])
def test_a_copy_of_the_best_network_was_chosen_too(towns, run, purpose):
    root, _ = towns
    best = save_with(root, 'best_mIoU_iter_1.pth', meta={})
    descent = inherited(best, purpose)
    save_with(root, 'copy.pth', meta={'descent': descent})
    descent = inherited(root / 'copy.pth', 're-estimated from')
    again = save_with(root, 'again.pth', meta={'descent': descent})
    for copy in (root / 'copy.pth', again):
        with pytest.raises(SystemExit, match='which was chosen on'):
            run('--against', copy)
    # A run that starts from it was not chosen.
    descent = [entry('code', 'ours', None), *inherited(best, 'start')]
    later = save_with(root, 'later.pth', meta={'descent': descent})
    assert run('--against', later, '--resamples', '100')['images'] == 2


def test_the_best_network_by_signs_was_chosen_on_no_labels(towns, run):
    root, cfg = towns
    cfg.default_hooks.do_no_harm = dict(type='DoNoHarmHook')
    (root / 'config.py').write_text(text_of(cfg))
    why = {'do_no_harm': {'adapted': True}}
    best = save_with(root, 'best.pth', meta=why)
    assert run('--against', best, '--resamples', '100')['images'] == 2
    (root / 'found.json').unlink()
    told = 'which was chosen on'
    # The network that it started from was chosen by a validation.
    start = save_with(root, 'best_mIoU_iter_1.pth', meta={})
    why['descent'] = inherited(start, 'kept from')
    kept = save_with(root, 'kept.pth', meta=why)
    with pytest.raises(SystemExit, match=told):
        run('--against', kept)
    # With the role choose, validation images are those to compare on.
    cfg.val_dataloader.dataset = dict(
        type='RoleSubset',
        role='choose',
        roles=str(roles_file(root, choose=[0])),
        dataset=cfg.val_dataloader.dataset,
    )
    (root / 'config.py').write_text(text_of(cfg))
    with pytest.raises(SystemExit, match=told):
        run('--against', best)


def test_labels_that_the_best_network_was_chosen_on_are_refused(towns, run):
    root, cfg = towns
    hook = dict(type='DoNoHarmHook', labelled=tiny.cityscapes(root, 'val'))
    cfg.default_hooks.do_no_harm = hook
    cfg.val_dataloader = None
    (root / 'config.py').write_text(text_of(cfg))
    # Under any name: its reason is in it.
    best = save_with(root, 'named.pth', meta={'do_no_harm': {}})
    with pytest.raises(SystemExit, match='which was chosen on'):
        run('--against', best)
    assert run('--resamples', '100')['images'] == 2


def test_images_that_a_threshold_was_chosen_on_are_refused(towns, run):
    root, _ = towns
    other = image_of(root, 'val')
    threshold = {'image_sha256': {'other.png': file_sha256(str(other))}}
    frozen = save_with(root, 'frozen.pth', threshold=threshold)
    with pytest.raises(SystemExit, match='set the threshold of .*frozen.pth'):
        run('--against', frozen)


def test_the_config_in_a_checkpoint_counts_too(towns, run, capsys):
    root, cfg = towns
    cfg.train_dataloader.dataset = tiny.cityscapes(root, 'val')
    other = save_with(root, 'other.pth', meta={'cfg': text_of(cfg)})
    with pytest.raises(SystemExit, match='which was trained on'):
        run('--against', other)
    cfg.train_dataloader.dataset = tiny.cityscapes(root / 'away', 'val')
    cfg.anchor_dataloader.dataset.type = 'somewhere.Dataset'
    other = save_with(root, 'other.pth', meta={'cfg': text_of(cfg)})
    run('--against', other, '--resamples', '100')
    shown = capsys.readouterr().out
    assert 'iter_1.pth: only images of CONFIG are compared' in shown
    for key in ('train_dataloader.dataset', 'anchor_dataloader.dataset'):
        assert f'other.pth: the images of its {key} are not' in shown
    assert 'somewhere.Dataset is no plain name' in shown


@pytest.mark.parametrize('kind', ['start', 'earlier start', 'teacher'])
def test_runs_that_a_network_comes_from_count_too(towns, run, kind):
    root, cfg = towns
    before = cfg.to_dict()
    before['train_dataloader']['dataset'] = tiny.cityscapes(root, 'val')
    first = save_with(root, 'first.pth', meta={'cfg': text_of(Config(before))})
    cfg.initialized_from = None
    if kind == 'start':
        cfg.initialized_from = str(first)
    elif kind == 'earlier start':
        # As runs record the chain that they end.
        cfg.initialized_from = {'initialized_from': before}
    else:
        teacher = dict(config='first.py', checkpoint=str(first))
        cfg.model.distillation = dict(teacher=teacher)
    later = save_with(root, 'later.pth', meta={'cfg': text_of(cfg)})
    with pytest.raises(SystemExit, match='which was trained on'):
        run('--against', later)


def test_runs_that_name_each_other_end(towns, run, capsys):
    root, cfg = towns
    for name, other in (('a', 'b'), ('b', 'a')):
        cfg.initialized_from = str(root / f'{other}.pth')
        save_with(root, f'{name}.pth', meta={'cfg': text_of(cfg)})
    run('--against', root / 'a.pth', '--resamples', '100')
    shown = capsys.readouterr().out
    assert not any(f'{root / name}.pth' in shown for name in 'ab')


def test_a_start_that_is_gone_is_warned_of(towns, run, capsys):
    root, cfg = towns
    cfg.initialized_from = str(root / 'gone.pth')
    later = save_with(root, 'later.pth', meta={'cfg': text_of(cfg)})
    run('--against', later, '--resamples', '100')
    shown = capsys.readouterr().out
    assert f'later.pth: the images of {root / "gone.pth"}' in shown


def test_data_that_cannot_be_compared_are_one_line(towns, run):
    root, cfg = towns
    cfg.train_dataloader.dataset = tiny.cityscapes(root / 'away', 'val')
    (root / 'config.py').write_text(text_of(cfg))
    with pytest.raises(SystemExit, match='train_dataloader.dataset: its im'):
        run()


def test_roles_of_the_config_in_a_checkpoint_count_too(towns, run):
    root, cfg = towns
    path = roles_file(root, choose=[0])
    recorded = {'cfg': f'{text_of(cfg)}\nroles = {str(path)!r}'}
    other = save_with(root, 'other.pth', meta=recorded)
    with pytest.raises(SystemExit, match='has the role choose in'):
        run('--against', other)


def few_labels(root: Path, path: Path) -> Config:
    """A config of one iteration on labelled and unlabelled target images."""
    cfg = tiny.run_config(root, root / 'few')
    tiny.one_stage(cfg, 1)
    cfg.model = tiny.dacs()
    cfg.val_dataloader = cfg.val_evaluator = cfg.val_cfg = None
    tiny.drop_hooks(cfg, 'anchors')
    cfg.default_hooks.provenance = dict(type='ProvenanceHook')
    roles = dict(type='RoleSubset', roles=str(path))
    target = tiny.cityscapes(root, 'train', labelled=False)
    domains = cfg.train_dataloader.dataset.domains
    domains.source = dict(
        roles, role='train', dataset=tiny.cityscapes(root, 'train')
    )
    domains.target = dict(roles, dataset=target)
    return cfg


@pytest.mark.parametrize(
    ('certify', 'is_corrected', 'use'),
    [
        (0, False, 'was trained on'),
        # Without a label, of which no roles file tells any more.
        (2, False, 'was trained on'),
        (0, True, 'has the role train in .*roles.json, as .*iter_1.pth rec'),
    ],
)
def test_a_roles_file_counts_as_it_was_in_training(
    towns, run, certify, is_corrected, use
):
    root, cfg = towns
    path = roles_file(root, 'train', train=[0])
    Runner.from_cfg(few_labels(root, path)).train()
    path.unlink()
    if is_corrected:
        [label] = (root / 'cityscapes/gtFine/train').rglob('*_000000_*')
        tiny.save_image(label, np.full(tiny.SIZE, 7, np.uint8))
    roles_file(root, 'train', train=[4], certify=[certify])
    cfg.test_dataloader.dataset = dict(
        tiny.cityscapes(root, 'train'), test_mode=True
    )
    # The config itself says nothing of them.
    cfg.train_dataloader.dataset = tiny.gta(root)
    (root / 'config.py').write_text(text_of(cfg))
    with pytest.raises(SystemExit, match=use):
        run('--roles', path, '--against', root / 'few/iter_1.pth')


def brighter(path: Path) -> np.ndarray:
    return read_image(str(path))[..., ::-1] // 2 + 60


def test_a_near_duplicate_is_warned_of(towns, run, capsys):
    root, _ = towns
    first, other = image_of(root, 'train'), image_of(root, 'val')
    tiny.save_image(other, brighter(first))
    run('--resamples', '100')
    shown = capsys.readouterr().out
    assert f'{other} is a near-duplicate of {first}' in shown


def test_also_of_an_image_that_only_a_role_has(towns, run, capsys):
    root, _ = towns
    first, other = (image_of(root, 'val', number) for number in (0, 1))
    tiny.save_image(other, brighter(first))
    path = roles_file(root, choose=[0], certify=[1])
    run('--roles', path, '--resamples', '100')
    shown = capsys.readouterr().out
    assert f'{other} is a near-duplicate of {first}' in shown
    assert shown.count('near-duplicate') == 1


def test_a_network_of_other_classes_is_refused(towns, run):
    root, cfg = towns
    names = DATASETS.build(cfg.test_dataloader.dataset).metainfo['classes']
    meta = {'dataset_meta': {'classes': names[::-1]}}
    other = save_with(root, 'other.pth', meta=meta)
    with pytest.raises(SystemExit, match='other.pth: a network of the class'):
        run('--against', other)


def test_a_set_without_a_labelled_pixel_is_refused(towns, run):
    root, _ = towns
    for label in (root / 'cityscapes/gtFine/val').rglob('*.png'):
        tiny.save_image(label, np.zeros(tiny.SIZE, np.uint8))
    told = 'test_dataloader.dataset: no pixel of the 2 labels has a class, exp'
    for more in ((), ('--against', root / 'iter_2.pth')):
        with pytest.raises(SystemExit, match=told):
            run(*more)
    path = roles_file(root, certify=[1])
    with pytest.raises(SystemExit, match='roles.json: no pixel of the 1 lab'):
        run('--roles', path)


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
