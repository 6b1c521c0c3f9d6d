# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Which changes of a config a resumed run may have."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from mmseg_cag.engine.records.provenance import provenance_of
from mmseg_cag.errors import UserError
from mmseg_cag.launch.resume import check_provenance, check_resume_config
from mmseg_cag.version import __version__
from tests import tiny


@pytest.fixture
def cfg(tmp_path) -> Config:
    cfg = tiny.run_config(tmp_path, tmp_path / 'work')
    cfg.initialized_from = 'warm.pth'
    content = {'state_dict': {}, 'meta': {'provenance': provenance_of(cfg)}}
    torch.save(content, tmp_path / 'iter_1.pth')
    return copy.deepcopy(cfg)


@pytest.mark.parametrize(
    ('changes', 'keys'),
    [
        ({'optim_wrapper.optimizer.lr': 9.0}, ['optim_wrapper.optimizer.lr']),
        ({'train_dataloader.batch_size': 4}, ['train_dataloader.batch_size']),
        (
            {'model.backbone.type': 'ResNet', 'randomness.seed': 6},
            ['model.backbone.type', 'randomness.seed'],
        ),
        ({'auto_scale_lr.enable': True}, ['auto_scale_lr']),
        ({'train_cfg.stage_iters': 1}, ['train_cfg.stage_iters']),
        (
            {'default_hooks.anchors.recompute': False},
            ['default_hooks.anchors.recompute'],
        ),
    ],
)
def test_what_matters_is_refused_by_its_key(cfg, tmp_path, changes, keys):
    cfg.merge_from_dict(changes)
    with pytest.raises(UserError) as caught:
        check_resume_config(cfg, tmp_path / 'iter_1.pth')
    line = str(caught.value)
    assert '\n' not in line and all(key in line for key in keys)


def test_what_does_not_matter_is_not(cfg, tmp_path):
    cfg.merge_from_dict(
        {
            'train_cfg.stages': 600,
            'train_cfg.vals_per_stage': 3,
            'train_dataloader.num_workers': 8,
            'train_dataloader.dataset.domains.source.data_root': '/elsewhere',
            'anchor_dataloader.dataset.data_root': '/elsewhere',
            'default_hooks.logger.interval': 7,
            'work_dir': 'elsewhere',
            'auto_scale_lr.base_batch_size': 4,
            'initialized_from': 'moved.pth',
        }
    )
    cfg.default_hooks.non_finite = dict(type='NonFiniteHook', on_nan='skip')
    check_resume_config(cfg, tmp_path / 'iter_1.pth')


@pytest.mark.parametrize('check', [check_resume_config, check_provenance])
def test_a_run_of_version_0_1_does_not_go_on(cfg, tmp_path, check):
    path = Path(tmp_path, 'iter_2.pth')
    versions = {'mmseg_cag': '0.1.0'}
    torch.save({'state_dict': {}, 'meta': dict(versions=versions)}, path)
    with pytest.raises(UserError) as caught:
        check(cfg, path)
    assert str(caught.value) == (
        f'{path}: was trained by mmseg_cag 0.1.0, whose runs {__version__} '
        f'cannot resume; move {cfg.work_dir} away to retrain, or set '
        'load_from to a checkpoint in it to start from that'
    )


@pytest.mark.parametrize('decay', [None, 9])
def test_the_length_matters_if_it_is_that_of_the_decay(tmp_path, decay):
    cfg = tiny.run_config(tmp_path, tmp_path / 'work')
    tiny.one_stage(cfg, 6)
    cfg.param_scheduler[0].decay_iters = decay
    cfg.initialized_from = None
    path = tmp_path / 'iter_1.pth'
    meta = {'provenance': provenance_of(cfg)}
    torch.save({'state_dict': {}, 'meta': meta}, path)
    cfg.train_cfg.max_iters = 8
    if decay:
        check_resume_config(cfg, path)
    else:
        with pytest.raises(UserError, match='train_cfg.max_iters was 6, is 8'):
            check_resume_config(cfg, path)


@pytest.mark.parametrize('end', [None, 9])
def test_stages_matter_if_the_rate_ends_with_the_last(tmp_path, end):
    cfg = tiny.run_config(tmp_path, tmp_path / 'work')
    cfg.param_scheduler = [dict(type='PolyLR', by_epoch=False)]
    if end:
        cfg.param_scheduler[0]['end'] = end
    path = tmp_path / 'iter_1.pth'
    meta = {'provenance': provenance_of(cfg)}
    torch.save({'state_dict': {}, 'meta': meta}, path)
    check_resume_config(cfg, path)
    cfg.train_cfg.stages = 3
    if end:
        check_resume_config(cfg, path)
    else:
        with pytest.raises(UserError, match='train_cfg.stages was 2, is 3'):
            check_resume_config(cfg, path)


@pytest.mark.parametrize('hooks', [None, []])
def test_a_hook_that_observes_may_be_added(tmp_path, hooks):
    cfg = tiny.run_config(tmp_path, tmp_path / 'work')
    path = tmp_path / 'iter_1.pth'
    cfg.custom_hooks = hooks
    meta = {'provenance': provenance_of(cfg)}
    torch.save({'state_dict': {}, 'meta': meta}, path)
    cfg.custom_hooks = [dict(type='SegVisualizationHook')]
    check_resume_config(cfg, path)
    cfg.custom_hooks += [dict(type='EMAHook')]
    with pytest.raises(UserError, match='custom_hooks was None, is'):
        check_resume_config(cfg, path)


def test_a_checkpoint_that_does_not_tell_is_taken(cfg, tmp_path):
    path = Path(tmp_path, 'iter_2.pth')
    torch.save({'state_dict': {}, 'meta': {}}, path)
    check_resume_config(cfg, path)
