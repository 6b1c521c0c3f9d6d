# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Each config resolves to what it did in version 0.1, and when last looked at.

The first is compared through the renames that version 0.2 made, which are
listed here one by one; the second as it is. A change that is meant is kept by
``python -m tests.snapshots``.
"""

from __future__ import annotations

import copy

import pytest

from mmseg_cag.engine.stage_loop import divide_stage
from tests.snapshots import (
    FOLDER,
    TODAY,
    differences,
    leaf_configs,
    read,
    resolve,
)

LEAVES = leaf_configs()
V01 = read(FOLDER / 'v0.1.json.gz')
# Default hooks that stood in custom_hooks, in their order.
FORMER_CUSTOM = [
    'channels_last',
    'check_checkpoint',
    'check_data',
    'data_fingerprint',
    'malloc',
    'label_map',
    'results',
    'missed_validation',
    'non_finite',
    'recipe',
    'skipped_files',
    'step_seed',
    'stop',
    'labeler',
    'anchors',
    'discriminators',
]
HOOKS = [
    'runtime_info',
    'timer',
    'logger',
    'param_scheduler',
    'checkpoint',
    'sampler_seed',
    'visualization',
    'monitor',
    'panels',
    'anchor_record',
    'effective_batch',
    'rank_data',
    *(name for name in FORMER_CUSTOM[:13] if name != 'missed_validation'),
]


def as_in_v01(cfg: dict) -> dict:
    """Undo what version 0.2 renamed."""
    if 'steps' in cfg:
        return {'steps': cfg['steps']}
    hooks, loop = cfg['default_hooks'], cfg['train_cfg']
    # What were hooks are the loop's.
    hooks['missed_validation'] = dict(type='MissedValidationHook')
    stage = {}
    if loop['type'] == 'StageTrainLoop':
        stage = dict(stage_iters=loop['stage_iters'])
        hooks['labeler'] = dict(type='LabelerHook', **stage)
        restore_stage_loop(cfg)
    loop['type'] = 'IterBasedTrainLoop'
    for schedule in cfg['param_scheduler']:
        if schedule['type'] == 'PolyRestartLR':
            assert schedule.pop('by_epoch') is False
            schedule['type'] = 'StagewisePolyLR'
            schedule['stage_iters'] = loop['max_iters']
            schedule.update(stage)
    anchors = cfg.pop('anchor_dataloader', None)
    if 'anchors' in hooks:
        hooks['anchors'].update(dataloader=anchors, **stage)
    cfg['custom_hooks'] = [
        hooks.pop(name) for name in FORMER_CUSTOM if name in hooks
    ]
    # New, of no meaning to what 0.1 did.
    for key in ('target_dataset', 'log_level'):
        cfg.pop(key, None)
    return cfg


def restore_stage_loop(cfg: dict) -> None:
    """Write out what `StageTrainLoop` derives from a stage."""
    loop, hooks = cfg['train_cfg'], cfg['default_hooks']
    length = loop.pop('stage_iters')
    loop['max_iters'] = loop.pop('stages') * length
    loop['val_interval'] = divide_stage(length, loop.pop('vals_per_stage'))
    saves = divide_stage(length, loop.pop('saves_per_stage'))
    hooks['checkpoint']['interval'] = saves


def cleaned(v01: dict) -> dict:
    """Take out of a config of 0.1 what nothing read."""
    cfg = copy.deepcopy(v01)
    cfg.pop('anchor_dataloader', None)
    if not cfg.get('val_dataloader'):
        cfg.pop('test_pipeline', None)  # of a translator
    if start := cfg.get('start_from'):
        cfg['start_from'] = start[start.index('configs/') :]
    return cfg


def test_all_are_there():
    assert set(V01) <= set(LEAVES)


@pytest.mark.parametrize('leaf', sorted(V01))
def test_what_was_set_in_version_0_1_is_set(leaf):
    old, new = cleaned(V01[leaf]), as_in_v01(resolve(leaf))
    assert list(differences(old, new)) == []


@pytest.mark.parametrize('leaf', LEAVES)
def test_nothing_changes_unnoticed(leaf):
    kept = read(TODAY)
    assert set(kept) == set(LEAVES)
    assert list(differences(kept[leaf], resolve(leaf))) == []


@pytest.mark.parametrize('leaf', LEAVES)
def test_hooks_run_in_the_order_of_version_0_1(leaf):
    hooks = resolve(leaf).get('default_hooks')
    if hooks:  # a loop has none of its own
        assert list(hooks)[: len(HOOKS)] == HOOKS


@pytest.mark.parametrize(
    'name', ['anchors', 'step_seed', 'non_finite', 'logger']
)
def test_a_lost_hook_is_noticed(name):
    leaf = 'cag/deeplabv2_gta2cs.py'
    cfg = resolve(leaf)
    cfg['default_hooks'].pop(name)
    assert list(differences(cleaned(V01[leaf]), as_in_v01(cfg)))
