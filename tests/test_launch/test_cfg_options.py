# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Settings of the command line: what is read is set, all else is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from mmengine.config import Config

from mmseg_cag.errors import UserError
from mmseg_cag.launch.cfg_options import (
    load_or_exit,
    merge_options,
    merge_or_exit,
    parse_options,
)

CONFIGS = Path(__file__).parents[2] / 'configs'
SOURCE = 'train_dataloader.dataset.domains.source'
CAG = 'cag/deeplabv2_gta2cs.py'
HRDA = 'minitown/mic_hrda.py'
ADVERSARIAL = 'adaptsegnet/deeplabv2_gta2cs.py'
LOOP = 'bdl/loop_gta2cs.py'


def merged(leaf: str, *words: str) -> Config:
    cfg = Config.fromfile(CONFIGS / leaf)
    merge_options(cfg, parse_options(words))
    return cfg


@pytest.mark.parametrize(
    ('leaf', 'word'),
    [
        (CAG, 'default_hooks.non_finite.on_nan=skip'),
        (CAG, 'anchor_dataloader.batch_size=2'),
        (CAG, 'param_scheduler.0.power=1'),
        (CAG, 'train_cfg.stage_iters=5000'),
        (CAG, 'train_cfg.first_stage=2'),
        (CAG, f'{SOURCE}.pipeline.1.ids=trainids'),
        (CAG, 'model.decode_head.norm_cfg.type=SyncBN'),
        (CAG, 'start_options.train_dataloader.batch_size=1'),
        # Of which the config has nothing yet, but the class takes it.
        (CAG, 'default_hooks.non_finite.limit=3'),
        (CAG, 'default_hooks.stop.priority=LOW'),
        (CAG, 'default_hooks.monitor.coverage.least=0.01'),
        (CAG, 'model.backbone.with_cp=True'),
        (CAG, 'model.backbone.norm_cfg.eps=0.001'),
        (CAG, 'model.test_cfg.stride=3'),
        (CAG, 'optim_wrapper.optimizer.nesterov=True'),
        (CAG, 'optim_wrapper.accumulative_counts=4'),
        (CAG, 'optim_wrapper.clip_grad.max_norm=10'),
        (CAG, 'train_dataloader.dataset.skip_bad_files=True'),
        (CAG, 'anchor_dataloader.dataset.indices=500'),
        (CAG, 'train_dataloader.pin_memory=True'),
        (CAG, 'val_evaluator.output_dir=out'),
        (CAG, 'visualizer.save_dir=out'),
        (CAG, 'sync_bn=torch'),
        (CAG, 'work_dir=out'),
        (CAG, 'env_cfg.dist_cfg.backend=gloo'),
        (CAG, 'randomness.deterministic=True'),
        (ADVERSARIAL, 'optim_wrapper.members.student.optimizer.lr=1'),
        (ADVERSARIAL, 'optim_wrapper.members.student.clip_grad.max_norm=1'),
        (
            ADVERSARIAL,
            'optim_wrapper.members.student.paramwise_cfg.custom_keys.head'
            '.lr_mult=1',
        ),
        ('source_only/deeplabv2_gta2cs.py', 'target_dataset.data_root=data'),
        (HRDA, 'model.decode_head.ignore_index=0'),
        (HRDA, 'model.decode_head.fixed_attention=0.5'),
        (LOOP, 'steps.2.iters=1000'),
        (LOOP, 'options.randomness.seed=1'),
    ],
)
def test_what_is_read_is_set(leaf, word):
    cfg = merged(leaf, word)
    path, value = word.split('=')
    node = cfg._cfg_dict
    for part in path.split('.'):
        node = node[int(part) if part.isdigit() else part]
    assert str(node) == value


@pytest.mark.parametrize(
    ('leaf', 'path', 'reason', 'nearest'),
    [
        (
            CAG,
            'train_dataloder.batch_size',
            'is not known',
            'train_dataloader.batch_size',
        ),
        (
            CAG,
            'default_hooks.non_finite.limt',
            'is not known',
            'default_hooks.non_finite.limit',
        ),
        (
            CAG,
            'default_hooks.non_finit.on_nan',
            'is not known',
            'default_hooks.non_finite.on_nan',
        ),
        (
            CAG,
            'model.backbone.wth_cp',
            'is not known',
            'model.backbone.with_cp',
        ),
        (
            CAG,
            'train_dataloader.dataset.domains.source.data_prefix.img_pth',
            'is not known',
            'train_dataloader.dataset.domains.source.data_prefix.img_path',
        ),
        (CAG, 'stage_iters', 'is not known', 'train_cfg.stage_iters'),
        (
            CAG,
            'source_dataloader.batch_size',
            'nothing reads it',
            'train_dataloader.batch_size',
        ),
        (
            ADVERSARIAL,
            'optim_wrapper.members.studnt.optimizer.lr',
            'is not known',
            'optim_wrapper.members.student.optimizer.lr',
        ),
        (
            HRDA,
            'model.decode_head.detail_wight',
            'is not known',
            'model.decode_head.detail_weight',
        ),
        # Helper variables, whose values were copied.
        (
            CAG,
            'frame_size',
            'nothing reads it',
            'train_dataloader.dataset.domains.source.pipeline.2.frame_size',
        ),
        (
            CAG,
            'vis_backends.0.type',
            'nothing reads it',
            'visualizer.vis_backends.0.type',
        ),
        (
            CAG,
            'target_dataset.data_root',
            'nothing reads it',
            'train_dataloader.dataset.domains.target.data_root',
        ),
        (LOOP, 'plain', 'nothing reads it', 'steps.0.train'),
    ],
)
def test_what_nothing_reads_is_refused(leaf, path, reason, nearest):
    with pytest.raises(UserError) as caught:
        merged(leaf, f'{path}=1')
    line = f'--cfg-options {path}: {reason}, the nearest is {nearest}'
    assert str(caught.value) == line


@pytest.mark.parametrize(
    ('word', 'message'),
    [
        ('foo', 'foo: expected key.of.config=value'),
        ('=1', '=1: expected key.of.config=value'),
        ('a..b=1', 'a..b=1: expected key.of.config=value'),
        ('randomness.seed=[(1, 2]', 'Imbalanced brackets'),
        ('param_scheduler.3.power=1', 'param_scheduler has the parts 0 to 0'),
        ('param_scheduler.power=1', 'param_scheduler has the parts 0 to 0'),
        ('load_from.x=1', 'load_from is None, which has no settings'),
    ],
)
def test_what_is_malformed_is_one_line(word, message):
    with pytest.raises(SystemExit) as caught:
        merge_or_exit(Config.fromfile(CONFIGS / CAG), [word])
    line = caught.value.code
    assert message in line and '\n' not in line
    assert line.startswith('error: --cfg-options ')


def test_a_hook_is_added_by_its_type():
    words = ['type=CompileHook', 'mode=reduce-overhead']
    words = [f'default_hooks.compile.{word}' for word in words]
    hook = merged(CAG, *words).default_hooks.compile
    assert hook == dict(type='CompileHook', mode='reduce-overhead')
    with pytest.raises(UserError, match='default_hooks.compile.mode'):
        merged(CAG, words[1])


def test_another_class_has_its_own_settings():
    options = ['optim_wrapper.optimizer.type=AdamW']
    merged(CAG, *options, 'optim_wrapper.optimizer.amsgrad=True')
    with pytest.raises(UserError, match='optimizer.amsgrad'):
        merged(CAG, 'optim_wrapper.optimizer.amsgrad=True')


def test_a_hook_is_taken_out():
    hooks = merged(CAG, 'default_hooks.malloc=None').default_hooks
    assert 'malloc' not in hooks
    # In the place of these mmengine would put its own.
    hooks = merged(CAG, 'default_hooks.logger=None').default_hooks
    assert hooks.logger is None


def test_nested_settings_are_looked_into():
    cfg = Config.fromfile(CONFIGS / CAG)
    options = dict(train_dataloader=dict(batch_sice=1))
    with pytest.raises(UserError, match='^start_options train_dataloader'):
        merge_options(cfg, options, 'start_options')
    merge_options(cfg, dict(model=dict(_delete_=True, type='Mine', x=1)))
    assert cfg.model == dict(type='Mine', x=1)


def test_a_class_that_is_not_known_takes_anything():
    cfg = Config(dict(model=dict(type='NotRegistered')))
    merge_options(cfg, {'model.depth': 3})
    assert cfg.model.depth == 3


def test_a_part_that_is_none_is_put_in_by_its_type():
    cfg = Config.fromfile(CONFIGS / 'minitown/anchor_teacher.py')
    assert cfg.model.masking is None
    options = {'model.masking': dict(type='Masking', block=8)}
    merge_options(cfg, options)
    assert cfg.model.masking == dict(type='Masking', block=8)
    cfg.model.masking = None
    with pytest.raises(UserError, match='model.masking is None'):
        merge_options(cfg, {'model.masking.block': 8})


@pytest.mark.parametrize(
    ('text', 'name'),
    [
        ('max_iters = 7', 'max_iters'),
        ('crop_size = (9, 9)\ntrain_cfg = dict(max_iters=7)', 'crop_size'),
        ('classes = ["a", "b"]', 'classes'),
        # Used here, read by every run, or new.
        ('max_iters = 7\ntrain_cfg = dict(max_iters=max_iters)', None),
        ('work_dir = "out"\ntrain_dataloader = _base_.rare_classes', None),
        ('own = 1', None),
    ],
)
def test_a_variable_that_a_base_has_used_is_refused(text, name, tmp_path):
    base = CONFIGS / 'custom/anchor_teacher.py'
    path = tmp_path / 'variant.py'
    path.write_text(f'_base_ = {str(base)!r}\n{text}\n')
    if name is None:
        assert load_or_exit(str(path))
        return
    with pytest.raises(SystemExit) as caught:
        load_or_exit(str(path))
    assert str(caught.value) == (
        f'error: {path}: nothing reads its {name}, the base file has already '
        'used its own; set it there, or set what it is for'
    )
