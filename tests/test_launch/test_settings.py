# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Wrong settings: each is one line with its key, and the right one passes."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from mmengine.config import Config, ConfigDict

from mmseg_cag.errors import UserError
from mmseg_cag.launch.settings import check_settings

CONFIGS = Path(__file__).parents[2] / 'configs'
LEAVES = [
    *CONFIGS.glob('[a-z]*/*.py'),
    *CONFIGS.glob('[a-z]*/[a-z]*/*.py'),
]
TRAIN, ANCHORS = 'train_dataloader', 'anchor_dataloader'
SOURCE = f'{TRAIN}.dataset.domains.source'
TARGET = f'{TRAIN}.dataset.domains.target'
IN_ORDER = dict(type='DefaultSampler', shuffle=False)
VAL = 'val_dataloader'
LOSS = 'model.decode_head.loss_decode'
HOOKS = 'default_hooks'
ZERO = dict(type='LoadAnnotations')
SLIDE = dict(mode='slide', crop_size=(64, 64), stride=(32, 32))


@cache
def loaded(leaf: str) -> Config:
    return Config.fromfile(CONFIGS / leaf)


def checked(path: str, value: Any, leaf: str = 'cag') -> None:
    cfg = Config(loaded(f'custom/{leaf}.py').to_dict())
    cfg.val_dataloader.prefetch_factor = 4
    *above, last = path.split('.')
    node = cfg._cfg_dict
    for part in above:
        node = node[int(part) if part.isdigit() else part]
    node[int(last) if last.isdigit() else last] = ConfigDict(x=value).x
    check_settings(cfg)


@pytest.mark.parametrize('leaf', LEAVES, ids=lambda p: f'{p.parent.name}-{p}')
def test_the_settings_of_each_config_pass(leaf):
    cfg = Config.fromfile(leaf)
    if 'model' in cfg:
        check_settings(cfg)


@pytest.mark.parametrize(
    ('path', 'wrong', 'right'),
    [
        # Numbers: their kind and their ends.
        ('train_cfg.stage_iters', '20k', 20),
        ('train_cfg.stages', 0, 1),
        ('train_cfg.vals_per_stage', 0, 1),
        ('train_cfg.saves_per_stage', 1.5, 1),
        ('train_cfg.val_begin', 10**6, 10),
        (f'{TRAIN}.batch_size', 0, 1),
        (f'{TRAIN}.batch_size', 'two', 2),
        (f'{TRAIN}.batch_size', True, 2),
        ('val_dataloader.batch_size', -1, 1),
        (f'{ANCHORS}.batch_size', 0, 1),
        (f'{TRAIN}.num_workers', 'auto', 0),
        (f'{TRAIN}.num_workers', -1, 0),
        (f'{TRAIN}.drop_last', 'yes', True),
        (f'{VAL}.num_workers', 0, 1),
        (f'{TRAIN}.timeout', -1, 5),
        (f'{TRAIN}.prefetch_factor', 0, 2),
        (f'{TRAIN}.shufle', True, None),
        (f'{HOOKS}.logger.interval', 0, 1),
        (f'{HOOKS}.logger.interval', '50', 50),
        (f'{HOOKS}.stop.interval', 0, 5),
        (f'{HOOKS}.monitor.interval', -5, 0),
        (f'{HOOKS}.checkpoint.interval', '5k', -1),
        (f'{HOOKS}.checkpoint.max_keep_ckpts', 2.5, 2),
        ('optim_wrapper.accumulative_counts', 0, 2),
        ('optim_wrapper.optimizer.lr', '1e-3x', 1e-3),
        ('optim_wrapper.optimizer.lr', -1, 0),
        ('optim_wrapper.optimizer.weight_decay', -1, 0),
        ('randomness.seed', 'abc', 3),
        ('randomness.seed', -1, None),
        ('auto_scale_lr.base_batch_size', 0, 4),
        (f'{SOURCE}.pipeline.2.crop_size', 48, (48, 64)),
        (f'{SOURCE}.pipeline.2.crop_size', (48,), (48, 64)),
        (f'{SOURCE}.pipeline.2.crop_size', (48, 64, 3), [48, 64]),
        (f'{SOURCE}.pipeline.2.crop_size', (48.5, 64), (48, 64)),
        (f'{SOURCE}.pipeline.2.crop_size', '48x64', (48, 64)),
        (f'{SOURCE}.pipeline.2.crop_size', (0, 64), (1, 64)),
        (f'{SOURCE}.pipeline.2.scale', 64, (64, 48)),
        (f'{SOURCE}.pipeline.2.ratio_range', 1.5, (0.5, 1.5)),
        (f'{SOURCE}.pipeline.3.prob', 5, 0.5),
        # Lists and texts.
        (f'{SOURCE}.metainfo', dict(classes='car'), dict(classes=['car'])),
        (f'{SOURCE}.pipeline', dict(type='PackSegInputs'), []),
        (f'{TRAIN}.dataset.labelled', 'source', ['source']),
        ('model.data_preprocessor.mean', 127.0, [127.0] * 3),
        ('custom_hooks', dict(type='IterTimerHook'), []),
        ('log_level', 'info', 'INFO'),
        # Names.
        (f'{HOOKS}.monitor.intervall', 3, None),
        (f'{HOOKS}.checkpoint.intervall', 3, None),
        (f'{HOOKS}.timer.type', 'IterTimeHook', 'IterTimerHook'),
        ('optim_wrapper.optimizer.type', 'Adamw', 'AdamW'),
        ('model.decode_head.norm_cfg', dict(type='BNN'), dict(type='BN')),
        # What does not go together.
        (f'{TRAIN}.sampler.type', 'InfiniteSampler', 'UDASampler'),
        (f'{TRAIN}.sampler.type', 'DefaultSampler', 'UDASampler'),
        ('val_dataloader.sampler.type', 'InfiniteSampler', 'DefaultSampler'),
        (f'{ANCHORS}.sampler', dict(type='InfiniteSampler'), IN_ORDER),
        (f'{TARGET}.pipeline.1.cat_max_ratio', 0.75, 1.0),
        ('val_evaluator', None, dict(type='UDAIoUMetric')),
        ('model.test_cfg', dict(mode='slide'), SLIDE),
        ('model.test_cfg', {**SLIDE, 'stride': 32}, SLIDE),
        ('model.test_cfg', {**SLIDE, 'stride': (0, 0)}, SLIDE),
        ('model.test_cfg.mode', 'windows', 'whole'),
        ('val_evaluator.iou_metrics', ['miou'], ['mIoU', 'mDice']),
        ('val_evaluator.iou_metrics', ['mFscore'], ['mIoU']),
        ('val_evaluator.format_only', True, False),
        (f'{HOOKS}.checkpoint.save_best', 'miou', 'mAcc'),
        ('model.data_preprocessor.size', (400, 512), (512, 512)),
        (f'{LOSS}.class_weight', [1.0] * 3, [1.0] * 5),
        (f'{LOSS}.class_weight', ['1'] * 5, [1] * 5),
        ('model.pseudo_label_loss.class_weight', [1.0], [1.0] * 5),
        (f'{SOURCE}.pipeline.1', {**ZERO, 'reduce_zero_label': True}, ZERO),
        # Methods give unlabelled pixels the label 255.
        ('model.data_preprocessor.seg_pad_val', 0, 255),
        ('model.decode_head.ignore_index', 0, 255),
        (f'{SOURCE}.pipeline.2.ignore_index', 254, 255),
        (f'{VAL}.dataset.pipeline.2.ignore_index', 254, 255),
    ],
)
def test_one_line_names_the_key(path, wrong, right):
    if right is not None:
        checked(path, right)
    with pytest.raises(UserError) as caught:
        checked(path, wrong)
    line = str(caught.value)
    assert '\n' not in line
    assert path.split('.')[-1] in line or 'val_evaluator' in line
    assert 'expected' in line or 'the nearest is' in line
    assert line.count(' ') < 40


@pytest.mark.parametrize('best', ['H', 'known_mIoU', 'unknown_IoU'])
def test_the_best_by_a_result_of_open_sets(best):
    path, metric = f'{HOOKS}.checkpoint.save_best', 'OpenSetIoUMetric'
    cfg = Config(loaded('minitown/cag_open.py').to_dict())
    cfg.default_hooks.checkpoint.save_best = best
    assert cfg.val_evaluator.type == metric
    check_settings(cfg)
    with pytest.raises(UserError, match=f'save_best={best!r}: val_evaluator'):
        checked(path, best)


def test_an_auxiliary_head_has_weights_of_its_own():
    head = dict(type='FCNHead', num_classes=5, in_channels=8, channels=8)
    loss = dict(type='CrossEntropyLoss', class_weight=[1.0] * 7)
    head['num_classes'] = 7
    checked('model.auxiliary_head', [dict(head, loss_decode=[loss])])
    with pytest.raises(UserError, match=r'auxiliary_head\.0\.loss_decode\.0'):
        head['num_classes'] = 4
        checked('model.auxiliary_head', [dict(head, loss_decode=[loss])])


def test_a_loss_may_ignore_a_class():
    loss = dict(type='TverskyLoss', ignore_index=0)
    checked('model.decode_head.loss_decode', loss)


def test_a_network_of_mmseg_may_ignore_another_label():
    cfg = Config(loaded('custom/cag.py').to_dict())
    cfg.model.decode_head.ignore_index = 0
    with pytest.raises(UserError, match='to ignore a class, leave it out'):
        check_settings(cfg)
    cfg.model = dict(
        type='EncoderDecoder',
        decode_head=dict(type='FCNHead', num_classes=5, ignore_index=0),
    )
    check_settings(cfg)


def test_a_sampler_of_domains_needs_domains():
    with pytest.raises(UserError, match='UDASampler: does not fit'):
        sampler = dict(type='UDASampler')
        checked(f'{TRAIN}.sampler', sampler, 'source_only')


def test_workers_that_are_not_there_do_not_persist():
    cfg = Config(loaded('minitown/cag.py').to_dict())
    for key in (TRAIN, ANCHORS, 'val_dataloader', 'test_dataloader'):
        cfg[key].update(num_workers=0, persistent_workers=True)
    check_settings(cfg)
    assert 'persistent_workers' not in cfg.train_dataloader
    assert 'persistent_workers' not in cfg.val_dataloader


def test_half_of_each_domain_needs_two_images():
    cfg = Config(loaded('minitown/mic.py').to_dict())
    cfg.train_dataloader.batch_size = 1
    check_settings(cfg)
    cfg.model.masking.mode = 'separateaug'
    message = 'masking.mode=separateaug takes half .*batch_size=1, expected at'
    with pytest.raises(UserError, match=message):
        check_settings(cfg)
    cfg.train_dataloader.batch_size = 2
    check_settings(cfg)


@pytest.mark.parametrize('things', [None, [6, 8]])
def test_the_things_of_a_pipeline_are_those_of_the_distance(things):
    cfg = Config(loaded('daformer/mit-b5_gta2cs.py').to_dict())
    cfg.model.feature_distance.things = [6, 7]
    check_settings(cfg)
    cfg.model.feature_distance.things = things
    message = rf'model.feature_distance.things=.*{SOURCE}.*things=.* lacks .*8'
    with pytest.raises(UserError, match=message):
        check_settings(cfg)
    for step in cfg.train_dataloader.dataset.domains.source.pipeline:
        if step.type == 'FindThings':
            step.things = [*range(19)]
    check_settings(cfg)


def test_what_another_library_builds_is_left_to_it():
    step = dict(type='Albu', transforms=[dict(type='RandomBrightness')])
    checked(f'{SOURCE}.pipeline', [step])
    checked('model.backbone', dict(type='mmpretrain.ConvNeXt', arch='tiny'))


@pytest.mark.parametrize(
    ('text', 'reason'),
    [
        ("x = '", 'invalid Python'),
        ("y = 1\nx = '20k' // 10", '(line 2 of '),
        ('x = dict(y=z)', "NameError: name 'z' is not defined"),
        ("_base_ = './nowhere.py'", 'FileNotFoundError'),
        ("custom_imports = dict(imports=['nowhere'])", 'ImportError'),
    ],
)
def test_a_config_that_cannot_be_read(tmp_path, text, reason):
    from mmseg_cag.fileio.safe_config import load_config

    path = tmp_path / 'mine.py'
    path.write_text(text)
    with pytest.raises(UserError) as caught:
        load_config(path)
    assert str(caught.value).startswith(f'{os.fspath(path)}: ')
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    ('leaf', 'key', 'kind'),
    [
        ('cag/deeplabv2_gta2cs.py', 'backbone', 'CeilResNet'),
        ('cag/segformer_mit-b5_gta2cs.py', 'backbone', 'MixVision'),
        ('minitown/cag_mobilenet-v2.py', 'backbone', 'ImageNetMobileNetV2'),
        ('hrda/mit-b5_gta2cs.py', 'backbone.backbone', 'ReleasedMiT'),
    ],
)
def test_low_rank_updates_need_attention(leaf, key, kind):
    cfg = Config(loaded(leaf).to_dict())
    cfg.merge_from_dict({f'model.{key}.lora': dict(rank=4)})
    message = (
        f'model.{key}.lora: {kind}.* expected one of DINOv2, .*TIMMEncoder'
    )
    with pytest.raises(UserError, match=message):
        check_settings(cfg)


def test_anchors_are_not_of_a_source_that_training_leaves_out(tmp_path):
    base = CONFIGS / 'few_labels/cag_minitown.py'
    path = tmp_path / 'no_source.py'
    path.write_text(
        f"_base_ = '{base}'\ntrain_dataloader = _base_.no_source\n"
    )
    with pytest.raises(UserError, match='members.source=None leaves it out'):
        check_settings(Config.fromfile(path))
    with path.open('a') as file:  # as docs/labels.md has it
        file.write(
            'anchor_dataloader = dict(dataset=dict(_delete_=True, '
            '**_base_.few, dataset=_base_.val_dataloader.dataset.dataset))'
        )
    cfg = Config.fromfile(path)
    check_settings(cfg)
    assert cfg.anchor_dataloader.dataset.role == 'train'
    # A method without anchors does not read them.
    check_settings(
        Config.fromfile(CONFIGS / 'few_labels/dacs_no_source_minitown.py')
    )


def test_a_source_is_left_out_of_training_and_of_anchors():
    cfg = Config.fromfile(CONFIGS / 'many_worlds/cag_minitown.py')
    left_out = 'train_dataloader.dataset.domains.source.members.third'
    cfg.merge_from_dict({left_out: None})
    too = 'anchor_dataloader.dataset.members.third'
    with pytest.raises(UserError, match=f'expected {too}=None, too'):
        check_settings(cfg)
    cfg.merge_from_dict({too: None})
    check_settings(cfg)
