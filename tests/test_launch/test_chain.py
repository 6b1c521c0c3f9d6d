# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""A run and the run that it starts from, by one command."""

from __future__ import annotations

import copy
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmseg.registry import DATASETS

from mmseg_cag.datasets.roles import Roles, labelled_images, write_roles
from mmseg_cag.engine import loops
from mmseg_cag.engine.loops import total_iters
from mmseg_cag.engine.records.provenance import list_changes, provenance_of
from mmseg_cag.errors import UserError
from mmseg_cag.launch import chain
from mmseg_cag.launch.stages import select_stage, shorten_stages
from tests import tiny

WARM_UP, STAGE = 4, 2


@pytest.fixture(autouse=True)
def in_folder(tmp_path, monkeypatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    tiny.write_towns(tmp_path)
    yield


def write_configs(**changes) -> Config:
    """Write the warm-up's config; returns that of CAG after it."""
    cfg = tiny.run_config(Path.cwd(), Path('unused'), STAGE)
    cfg.default_hooks.provenance = dict(type='ProvenanceHook')
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    cfg.launcher = 'none'
    first = copy.deepcopy(cfg)
    first.model = tiny.segmentor()
    first.train_dataloader.dataset = tiny.gta(Path.cwd())
    first.train_dataloader.sampler = dict(type='InfiniteSampler')
    tiny.one_stage(first, WARM_UP)
    tiny.drop_hooks(first, 'channels_last', 'check_data')
    first.work_dir = first.experiment_name = None
    first.merge_from_dict(changes)
    Path('configs/first').mkdir(parents=True, exist_ok=True)
    # Config.dump would format it, for seconds.
    Path('configs/first/net.py').write_text(
        '\n'.join(f'{k} = {v!r}' for k, v in first.to_dict().items())
    )
    cfg.start_from = 'configs/first/net.py'
    cfg.work_dir = 'work_dirs/second/net'
    cfg.experiment_name = f'second_{id(cfg)}'
    return cfg


def state(path: str) -> dict:
    return torch.load(path, weights_only=False)['state_dict']


FIRST = 'work_dirs/first/net/iter_4.pth'
SECOND = 'work_dirs/second/net/iter_4.pth'


def equal(first: dict, second: dict) -> bool:
    return first.keys() == second.keys() and all(
        torch.equal(first[key], second[key]) for key in first
    )


def trained(monkeypatch) -> list[str]:
    """List the folders of what is trained from here on."""
    folders = []
    train = chain.train

    def noted(cfg: Config) -> bool:
        folders.append(cfg.work_dir)
        return train(cfg)

    monkeypatch.setattr(chain, 'train', noted)
    return folders


def test_the_warm_up_is_run_first_and_only_once(monkeypatch):
    folders = trained(monkeypatch)
    chain.train_chain(write_configs())
    assert folders == ['work_dirs/first/net', 'work_dirs/second/net']
    first, second = state(FIRST), state(SECOND)
    teacher = state('work_dirs/second/net/iter_1.pth')
    key = 'backbone.layers.0.conv.weight'
    assert torch.equal(teacher[f'teacher.module.{key}'], first[key])
    # Again: the warm-up is reused, and the result is the same.
    chain.train_chain(write_configs())
    assert folders[2:] == ['work_dirs/second/net']
    assert equal(state(SECOND), second)
    # And the same as by hand.
    cfg = write_configs()
    cfg.start_from, cfg.load_from = None, FIRST
    cfg.work_dir = 'work_dirs/by_hand'
    chain.train_chain(cfg)
    assert equal(state('work_dirs/by_hand/iter_4.pth'), second)


def test_a_config_needs_no_default_scope():
    cfg = write_configs()
    cfg.pop('default_scope')
    cfg.start_from = None
    tiny.one_stage(cfg, 1)
    val = tiny.run_config(Path.cwd(), Path('unused')).val_dataloader
    cfg.test_dataloader, cfg.test_cfg = val, dict(type='TestLoop')
    cfg.test_evaluator = dict(type='IoUMetric', iou_metrics=['mIoU'])
    tested = copy.deepcopy(cfg)
    chain.train_chain(cfg)
    tested.load_from = 'work_dirs/second/net/iter_1.pth'
    tested.experiment_name += '_tested'
    assert 'mIoU' in chain.evaluate_run(tested)


def test_an_interrupted_warm_up_goes_on(monkeypatch):
    [first, _] = chain.load_chain(write_configs())
    chain.train(first)
    whole = state(FIRST)
    # As a kill after the second iteration leaves it.
    for name in ('iter_3.pth', 'iter_4.pth'):
        Path('work_dirs/first/net', name).unlink()
    note = Path('work_dirs/first/net/last_checkpoint')
    note.write_text('elsewhere/iter_2.pth')
    runs = chain.pending_runs(chain.load_chain(write_configs()), False)
    assert [run.load_from for run in runs] == [
        'work_dirs/first/net/iter_2.pth',
        FIRST,
    ]
    chain.train(runs[0])
    assert equal(state(FIRST), whole)


def test_a_changed_warm_up_is_not_reused():
    [first, _] = chain.load_chain(write_configs())
    chain.train(first)
    # What only fetches the same data does not matter.
    same = write_configs(**{'train_dataloader.num_workers': 2})
    [run] = chain.pending_runs(chain.load_chain(same), False)
    assert run.load_from == FIRST
    changed = write_configs(**{'optim_wrapper.optimizer.lr': 0.5})
    with pytest.raises(UserError) as caught:
        chain.train_chain(changed)
    message = str(caught.value)
    assert '\n' not in message
    assert message.startswith(
        f'{FIRST}: was trained with other settings than its config has, '
        'optim_wrapper.optimizer.lr was 0.01, is 0.5; move '
    )
    # Nothing is overwritten, and a checkpoint can be named all the same.
    changed.start_from, changed.load_from = None, FIRST
    [run] = chain.pending_runs(chain.load_chain(changed), False)
    assert run.load_from == FIRST


def test_the_warm_up_can_be_given_options():
    cfg = write_configs()
    cfg.merge_from_dict({'start_options.train_dataloader.batch_size': 7})
    [first, last] = chain.load_chain(cfg)
    assert first.train_dataloader.batch_size == 7
    assert last.train_dataloader.batch_size == 2
    assert last.initialized_from['train_dataloader']['batch_size'] == 7


def test_a_change_within_a_list_is_named():
    cfg = write_configs()
    old = provenance_of(cfg)
    cfg.anchor_dataloader['batch_size'] = 9
    [change] = list_changes(old, provenance_of(cfg))
    assert change == 'anchor_dataloader.batch_size was 2, is 9'
    # Without the hook that reads it, it is of no matter.
    cfg.default_hooks.pop('anchors')
    assert 'anchor_dataloader' not in provenance_of(cfg)


def test_a_start_on_other_images_with_a_role_is_not_reused(monkeypatch):
    target = DATASETS.build(tiny.cityscapes(Path.cwd(), 'train'))
    classes = tuple(target.metainfo['classes'])

    def assign(*places: int) -> None:
        Path('roles.json').unlink(missing_ok=True)
        images = {'train': labelled_images(target, places)}
        write_roles('roles.json', Roles(classes, images))

    few = dict(type='RoleSubset', roles='roles.json', role='train')
    few['dataset'] = tiny.cityscapes(Path.cwd(), 'train')
    changes = {'train_dataloader.dataset': dict(few, _delete_=True)}
    folders = trained(monkeypatch)
    assign(0, 1)
    chain.train_chain(write_configs(**changes))
    for resume in (False, True):
        chain.train_chain(write_configs(**changes), resume=resume)
    assert folders.count('work_dirs/first/net') == 1
    assign(0, 2)
    for resume in (False, True):
        with pytest.raises(UserError, match='.roles_file has changed; '):
            chain.train_chain(write_configs(**changes), resume=resume)
    # Without the file nothing can be compared, as in older records.
    Path('roles.json').unlink()
    again = chain.load_chain(write_configs(**changes))
    assert len(chain.pending_runs(again, resume=False)) == 1


def test_a_change_of_the_first_is_seen_by_the_third():
    def third(**changes) -> Config:
        second = write_configs(**changes)
        [first, second] = chain.load_chain(second)
        return second.initialized_from

    assert third() == third()
    assert third() != third(**{'optim_wrapper.optimizer.lr': 0.5})


def test_a_resumed_run_needs_nothing_before_it():
    cfg = write_configs()
    chain.train_chain(cfg)
    Path(FIRST).unlink()
    cfg = write_configs()
    [run] = chain.pending_runs(chain.load_chain(cfg), True)
    assert run.resume and run.load_from == SECOND


def test_what_cannot_be():
    cfg = write_configs(start_from='configs/first/net.py')
    with pytest.raises(UserError, match='circular, configs/first'):
        chain.load_chain(cfg)
    cfg.start_from = 'gone.py'
    with pytest.raises(UserError, match='start_from=gone.py: config file'):
        chain.load_chain(cfg)
    folder = Path('work_dirs/first/net')
    folder.mkdir(parents=True)
    (folder / 'last_checkpoint').write_text('iter_4.pth')
    with pytest.raises(UserError, match='names iter_4.pth, not found'):
        chain.train_chain(write_configs())
    torch.save(dict(state_dict={}, meta={}), folder / 'iter_4.pth')
    with pytest.raises(UserError, match='has no record of its settings'):
        chain.train_chain(write_configs())


def test_two_runs_of_a_chain_need_two_folders():
    cfg = write_configs(work_dir='work_dirs/second/net')
    with pytest.raises(UserError, match='the same work_dir work_dirs/second'):
        chain.load_chain(cfg)


def test_runs_are_counted_in_iterations():
    cfg = write_configs(train_cfg=dict(_delete_=True, max_epochs=2))
    with pytest.raises(UserError, match='train_cfg.stages is missing'):
        chain.load_chain(cfg)


def test_resume_in_the_config_is_not_of_the_warm_up(monkeypatch):
    seen = []
    monkeypatch.setattr(chain, 'train', lambda cfg: seen.append(cfg))
    monkeypatch.setattr(chain, 'require_checkpoint', lambda cfg: None)
    cfg = write_configs()
    cfg.resume = True
    chain.train_chain(cfg)
    assert [(run.load_from, run.resume) for run in seen] == [
        (None, False),
        (FIRST, False),
    ]


def test_a_mistake_is_found_before_the_warm_up(monkeypatch):
    folders = trained(monkeypatch)
    cfg = write_configs()
    cfg.train_dataloader.dataset.domains.target.data_prefix.img_path = 'none'
    with pytest.raises(UserError, match='no folder'):
        chain.train_chain(cfg)
    assert not folders


@pytest.mark.parametrize('own', [True, False])
def test_a_signal_at_the_end_of_a_run_stops_before_the_next(monkeypatch, own):
    class Send(Hook):
        def after_train(self, runner: Runner) -> None:
            if own:
                os.kill(os.getpid(), signal.SIGTERM)

    def with_signal(cfg: Config) -> Runner:
        runner = build(cfg)
        runner.register_hook(Send())
        return runner

    folders, build = trained(monkeypatch), Runner.from_cfg
    monkeypatch.setattr(Runner, 'from_cfg', with_signal)
    if not own:  # another rank has it
        monkeypatch.setattr(loops, 'get_world_size', lambda: 2)
        monkeypatch.setattr(loops, 'all_reduce', lambda x, _: x.fill_(1))
    hooks = {
        'default_hooks.stop': dict(type='StopHook'),
        'default_hooks.checkpoint.type': 'AtomicCheckpointHook',
    }
    cfg = write_configs(**hooks)
    cfg.merge_from_dict(hooks)
    with pytest.raises(SystemExit) as caught:
        chain.train_chain(copy.deepcopy(cfg))
    assert caught.value.code == loops.EXIT_CODE
    assert folders == ['work_dirs/first/net'] and Path(FIRST).exists()
    # The last run is complete, unless the command goes on after it.
    chain.train_chain(cfg)
    assert folders[1:] == ['work_dirs/second/net'] and Path(SECOND).exists()
    with pytest.raises(SystemExit):
        chain.train_chain(cfg, more=True)


def test_stages_of_no_length_are_found_before_the_warm_up(monkeypatch):
    folders = trained(monkeypatch)
    cfg = write_configs()
    cfg.train_cfg.stage_iters = 0
    with pytest.raises(UserError, match='train_cfg.stage_iters=0, expected'):
        chain.train_chain(cfg)
    assert not folders


def test_stages_of_another_length():
    cfg = write_configs()
    shorten_stages(cfg, 1)
    assert total_iters(cfg.train_cfg) == 2
    cfg.param_scheduler[0].decay_iters = 3
    shorten_stages(cfg, 7)
    assert total_iters(cfg.train_cfg) == 14
    assert cfg.param_scheduler[0].decay_iters == 21
    with pytest.raises(UserError, match='--stage-iters 0'):
        shorten_stages(cfg, 0)
    first = Config.fromfile('configs/first/net.py')
    with pytest.raises(UserError, match='net.py'):
        shorten_stages(first, 1)


def test_another_launcher_is_told_to_set_the_checkpoint():
    with pytest.raises(UserError, match='only tools/train.py runs it'):
        Runner.from_cfg(write_configs()).train()


def test_a_single_stage():
    cfg = write_configs()
    select_stage(cfg, 2)
    assert cfg.load_from == 'work_dirs/second/net/iter_2.pth'
    assert cfg.work_dir == 'work_dirs/second/net/stage_2'
    assert total_iters(cfg.train_cfg) == STAGE
    assert cfg.randomness.seed != write_configs().randomness.seed
    alone = Path('work_dirs/second/net/stage_1/iter_2.pth')
    alone.parent.mkdir(parents=True)
    torch.save(dict(state_dict={}, meta={}), alone)
    cfg = write_configs()
    select_stage(cfg, 2)
    assert cfg.load_from == str(alone)
    whole = Path('work_dirs/second/net/iter_2.pth')
    torch.save(dict(state_dict={}, meta={}), whole)
    with pytest.raises(UserError, match='both .* exist'):
        select_stage(write_configs(), 2)
    alone.unlink()
    loop = dict(type='StageTrainLoop', stages=2, stage_iters=9)
    torch.save(
        dict(state_dict={}, meta=dict(recipe=dict(train_cfg=loop))),
        whole,
    )
    with pytest.raises(UserError, match='has stages of 9 iterations'):
        select_stage(write_configs(), 2)
    cfg = write_configs()
    select_stage(cfg, 1)
    assert len(chain.load_chain(cfg)) == 2
    for stage in (0, 3):
        with pytest.raises(UserError, match='has the stages 1 to 2'):
            select_stage(write_configs(), stage)
    first = Config.fromfile('configs/first/net.py')
    with pytest.raises(UserError, match='net.py has no stages'):
        select_stage(first, 1)
