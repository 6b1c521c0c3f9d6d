# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Each config resolves to what it did in version 0.1, and when last looked at.

The first is compared through the renames that version 0.2 made, which are
listed here one by one; the second as it is. A change that is meant is kept by
``python -m tests.snapshots``.
"""

from __future__ import annotations

import copy

import pytest

from mmseg_cag.engine.stages import divide_stage
from tests.snapshots import (
    FOLDER,
    TODAY,
    differences,
    leaf_configs,
    read,
    resolve,
)

LEAVES = leaf_configs()
# Classes of version 0.1 by their present names.
FORMER_NAMES = {
    'BestEffortVisBackend': 'LenientVisBackend',
    'CheckRankDataHook': 'RankDataHook',
    'LogLabelMapHook': 'LabelMapHook',
    'MallocHook': 'KeepMemoryHook',
    'ProvenanceHook': 'RecipeHook',
    'ResultSummaryHook': 'LastAndBestHook',
}
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
    'non_finite',
    'provenance',
    'skipped_files',
    'step_seed',
    'stop',
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
    *FORMER_CUSTOM[:12],
]


def as_in_v01(leaf: str, cfg: dict) -> dict:
    """Undo what version 0.2 renamed."""
    if 'steps' in cfg:
        return {'steps': cfg['steps']}
    hooks = cfg['default_hooks']
    cfg['custom_hooks'] = [
        hooks.pop(name) for name in FORMER_CUSTOM if name in hooks
    ]
    anchors = cfg.pop('anchor_dataloader', None)
    undo_loop(cfg, anchors)
    rename(cfg)
    dataset = cfg['train_dataloader']['dataset']
    dataset.update(dataset.pop('domains', {}))
    if leaf.startswith('minitown/'):
        # A line of the log every few seconds, where there is no GPU.
        assert hooks['logger'].pop('interval') == 10
        hooks['logger']['interval'] = 50
    # New, of no meaning to what 0.1 did.
    for key in ('target_dataset', 'log_level'):
        cfg.pop(key, None)
    if leaf.startswith('custom/'):
        # Small images were padded to the largest of a batch.
        padding = cfg['model']['data_preprocessor']
        assert padding.pop('size') == [512, 512]
        padding['size_divisor'] = 1
    if '_warmup_' in leaf:
        # DeepLab-V3+'s head, which ImageNet's file does not fill, was frozen.
        model = cfg['model']
        model['norm_eval'] = model['backbone']['norm_eval']
        model['backbone']['norm_eval'] = False
    hooks.pop('do_no_harm', None)  # weights are the same with it
    undo_merged_groups(cfg['optim_wrapper'])
    return cfg


def undo_merged_groups(optim: dict) -> None:
    """Take out what groups parameters otherwise, for the same updates."""
    for part in (optim, *optim.get('members', {}).values()):
        if part.get('constructor') == 'MergedOptimWrapperConstructor':
            part.pop('constructor')


def rename(part: object) -> None:
    """Give each class its name of version 0.1."""
    values = part.values() if isinstance(part, dict) else part
    for value in values if isinstance(part, (dict, list)) else ():
        rename(value)
    if isinstance(part, dict) and part.get('type') in FORMER_NAMES:
        part['type'] = FORMER_NAMES[part['type']]


def undo_loop(cfg: dict, anchors: dict | None) -> None:
    """Say the length of a stage wherever version 0.1 had to be told."""
    hooks, train = cfg['custom_hooks'], cfg['train_cfg']
    names = [hook['type'] for hook in hooks]
    # Its loop could not validate what an interrupted run had missed.
    missed = names.index('ResultSummaryHook') + 1
    hooks.insert(missed, dict(type='MissedValidationHook'))
    length = train.get('max_iters')
    if train['type'] == 'StageTrainLoop':
        length = train['stage_iters']
        saves = length // train.pop('saves_per_stage')
        cfg['default_hooks'].get('checkpoint', {})['interval'] = saves
        cfg['train_cfg'] = train = dict(
            max_iters=train['stages'] * length,
            val_interval=length // train['vals_per_stage'],
        )
        first = names.index('AnchorHook') if 'AnchorHook' in names else -1
        hook = dict(type='LabelerHook', stage_iters=length)
        if first < 0:
            hooks.append(hook)
        else:
            hooks.insert(first + 1, hook)
            hooks[first + 2].update(stage_iters=length, dataloader=anchors)
    train['type'] = 'IterBasedTrainLoop'
    for schedule in cfg['param_scheduler']:
        if schedule['type'] == 'PolyRestartLR':
            schedule.pop('by_epoch')
            schedule.update(type='StagewisePolyLR', stage_iters=length)


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
    old, new = cleaned(V01[leaf]), as_in_v01(leaf, resolve(leaf))
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


def test_statistics_are_estimated_before_each_validation():
    for leaf in LEAVES:
        cfg = resolve(leaf)
        hook = cfg.get('default_hooks', {}).get('norm_statistics')
        if not hook or not cfg.get('val_dataloader'):
            continue
        loop = cfg['train_cfg']
        between = loop.get('val_interval') or divide_stage(
            loop['stage_iters'], loop['vals_per_stage']
        )
        assert hook['interval'] and between % hook['interval'] == 0, leaf


@pytest.mark.parametrize(
    'name', ['anchors', 'step_seed', 'non_finite', 'checkpoint']
)
def test_a_lost_hook_is_noticed(name):
    leaf = 'cag/deeplabv2_gta2cs.py'
    cfg = resolve(leaf)
    cfg['default_hooks'].pop(name)
    assert list(differences(cleaned(V01[leaf]), as_in_v01(leaf, cfg)))
