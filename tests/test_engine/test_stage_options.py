# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Stages alone, and anchors that are kept or come from a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.runner import Runner

from mmseg_cag.engine.loops import total_iters
from mmseg_cag.errors import UserError
from tests import tiny

STAGE = 2
ANCHORS = 'default_hooks.anchors'
DATASET = 'anchor_dataloader.dataset'


def run(root: Path, work_dir: Path, **changes) -> list[dict]:
    """Train two stages; returns the state after each iteration."""
    cfg = tiny.run_config(root, work_dir, STAGE)
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    cfg.merge_from_dict(changes)
    Runner.from_cfg(cfg).train()
    return [
        torch.load(work_dir / f'iter_{i + 1}.pth', weights_only=False)[
            'state_dict'
        ]
        for i in range(total_iters(cfg.train_cfg))
    ]


@pytest.fixture(scope='module')
def root(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp('options')
    tiny.write_towns(root)
    return root


@pytest.fixture(scope='module')
def states(root) -> list[dict]:
    return run(root, root / 'straight')


def anchors_of(states: list[dict]) -> list[torch.Tensor]:
    return [state['anchor_bank.anchors'] for state in states]


def test_anchors_are_computed_once_if_they_are_to_be_kept(root, tmp_path):
    states = run(root, tmp_path, **{f'{ANCHORS}.recompute': False})
    first, *others = anchors_of(states)
    assert first.any()
    assert all(torch.equal(first, other) for other in others)
    # The teacher does change with the stage.
    key = 'teacher.module.backbone.layers.0.conv.weight'
    assert not torch.equal(states[0][key], states[-1][key])


def test_kept_anchors_without_limits_are_computed_with_them(
    root, tmp_path, states
):
    changes = {
        'load_from': str(root / f'straight/iter_{STAGE}.pth'),
        f'{ANCHORS}.recompute': False,
        'train_cfg.stages': 1,
    }
    kept = run(root, tmp_path / 'kept', **changes)
    before = states[STAGE - 1]['anchor_bank.anchors']
    assert torch.equal(anchors_of(kept)[0], before)
    changes['model.pseudo_label_head.unknown_quantile'] = 0.9
    both = run(root, tmp_path / 'both', **changes)
    limit = 'pseudo_label_head.unknown.limit'
    assert both[0][limit].isfinite().any()
    # Of the features that the anchors are of.
    assert torch.equal(anchors_of(both)[0], anchors_of(states)[STAGE])
    with pytest.raises(UserError, match='has no finite margin or limit, and'):
        run(root, tmp_path / 'none', **changes, anchor_dataloader=None)


def test_anchors_of_a_part_of_the_images(root, tmp_path, states):
    part = run(root, tmp_path, **{f'{DATASET}.indices': [0, 3]})
    alone = {f'{DATASET}.indices': 2}
    first = run(root, tmp_path / 'first', **alone)
    for one, two in zip(anchors_of(part), anchors_of(first), strict=True):
        assert not torch.equal(one, two)
    assert not torch.equal(anchors_of(part)[0], anchors_of(states)[0])


def test_the_dataloader_of_the_anchors_is_required(root, tmp_path):
    with pytest.raises(UserError) as caught:
        run(root, tmp_path, anchor_dataloader=None)
    assert str(caught.value) == (
        'anchor_dataloader is missing, expected the dataloader of the source '
        'without augmentation'
    )


def test_the_anchors_have_the_classes_of_training(root, tmp_path):
    classes = ['sky', 'road']
    with pytest.raises(UserError, match='anchor_dataloader.dataset') as caught:
        run(root, tmp_path, **{f'{DATASET}.metainfo': dict(classes=classes)})
    assert '\n' not in str(caught.value)


@pytest.fixture
def anchor_file(tmp_path) -> tuple[Path, torch.Tensor]:
    """A file as the release writes it, for the tiny network."""
    vectors = np.random.default_rng(0).normal(size=(19, 8))
    path = tmp_path / 'category_anchors'
    content = dict(objective_vectors=vectors, objective_num=np.ones(19))
    torch.save(content, path)
    return path, torch.from_numpy(vectors).float()


@pytest.mark.parametrize('recompute', [True, False])
def test_a_run_begins_with_the_anchors_of_a_file(
    root, tmp_path, anchor_file, recompute
):
    path, vectors = anchor_file
    options = {
        f'{ANCHORS}.init_from': str(path),
        f'{ANCHORS}.recompute': recompute,
    }
    found = anchors_of(run(root, tmp_path / 'run', **options))
    assert all(torch.equal(a, vectors) for a in found[:STAGE])
    kept = all(torch.equal(a, vectors) for a in found[STAGE:])
    assert kept != recompute


def test_anchors_of_a_file_need_no_source(root, tmp_path, anchor_file):
    path, vectors = anchor_file
    options = {
        f'{ANCHORS}.init_from': str(path),
        f'{ANCHORS}.recompute': False,
        'anchor_dataloader': None,
    }
    found = anchors_of(run(root, tmp_path / 'run', **options))
    assert all(torch.equal(anchors, vectors) for anchors in found)


def test_anchors_of_another_network_are_refused(root, tmp_path):
    path = tmp_path / 'category_anchors'
    torch.save(np.ones((16, 256)), path)
    with pytest.raises(UserError) as caught:
        run(root, tmp_path / 'run', **{f'{ANCHORS}.init_from': str(path)})
    assert str(caught.value) == (
        f'{path}: 16 anchors of 256 channels, but the network has 19 classes '
        'and features of 8'
    )


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({f'{ANCHORS}.init_from': 'gone'}, 'gone: no such file'),
        (
            {
                f'{ANCHORS}.init_from': 'any',
                'model.pseudo_label_head.margin': 'auto',
            },
            "init_from=any and margin='auto', .*; expected a number",
        ),
        (
            {
                f'{ANCHORS}.init_from': 'any',
                'model.pseudo_label_head.unknown_quantile': 0.99,
            },
            'init_from=any and unknown_quantile, .*; expected None',
        ),
    ],
)
def test_what_cannot_be(root, tmp_path, changes, message):
    with pytest.raises(UserError, match=message):
        run(root, tmp_path, **changes)


def test_a_stage_longer_than_its_decay_ends_at_rate_zero(root, tmp_path):
    run(root, tmp_path, **{'param_scheduler.0.decay_iters': 1})
    last = torch.load(tmp_path / 'iter_2.pth', weights_only=False)
    groups = last['param_schedulers'][0]
    assert all(isinstance(rate, float) for rate in groups['_last_value'])


def test_anchors_need_stages(root, tmp_path):
    cfg = tiny.run_config(root, tmp_path, STAGE)
    cfg.train_cfg = dict(type='UDATrainLoop', max_iters=STAGE)
    with pytest.raises(UserError, match='UDATrainLoop, expected StageTrain'):
        Runner.from_cfg(cfg).train()


def test_a_stage_that_starts_alone_keeps_its_number(root, tmp_path, states):
    changes = {
        'load_from': str(root / f'straight/iter_{STAGE}.pth'),
        'train_cfg.stages': 1,
        'train_cfg.first_stage': 2,
    }
    alone = run(root, tmp_path / 'given', **changes)
    assert [state['stage'] for state in alone] == [2, 2]
    [log] = (tmp_path / 'given').glob('*/*.log')
    assert 'Stage 2 begins' in log.read_text()
    # Weights at the boundary and anchors are those of the whole run.
    assert torch.equal(anchors_of(alone)[0], anchors_of(states)[STAGE])
    # The number goes on from the checkpoint also if it is not asked for.
    changes['train_cfg.first_stage'] = None
    assert run(root, tmp_path / 'found', **changes)[0]['stage'] == 2


def test_a_checkpoint_of_another_stage_is_refused(root, tmp_path, states):
    start = root / f'straight/iter_{2 * STAGE}.pth'
    with pytest.raises(UserError) as caught:
        run(
            root,
            tmp_path,
            **{'load_from': str(start), 'train_cfg.first_stage': 2},
        )
    assert str(caught.value) == (
        f'{start}: a checkpoint of stage 2, expected one of stage 1 to begin '
        'stage 2'
    )
