# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""StageTrainLoop and AnchorHook in two stages of three iterations."""

from __future__ import annotations

import builtins
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.runner import Runner
from mmseg.registry import MODELS
from PIL import Image

from tests import tiny

STAGE, ITERS = 3, 6


@pytest.fixture(scope='module')
def root(tmp_path_factory) -> Path:
    """The data and a checkpoint of a stock segmentor to start from."""
    root = tmp_path_factory.mktemp('stages')
    tiny.write_towns(root)
    torch.manual_seed(8)
    stock = MODELS.build(tiny.segmentor())
    stock.train()
    with torch.no_grad():  # give the batch statistics a past
        stock(torch.randn(4, 3, *tiny.SIZE) * 2)
    torch.save({'state_dict': stock.state_dict()}, root / 'warm.pth')
    return root


def run(root: Path, work_dir: Path, workers: int = 0, **changes) -> Path:
    cfg = tiny.run_config(root, work_dir, STAGE, workers)
    cfg.load_from = str(root / 'warm.pth')
    cfg.merge_from_dict(changes)
    Runner.from_cfg(cfg).train()
    return work_dir


@pytest.fixture(scope='module')
def straight(root) -> Path:
    """Folder of the run that is never stopped, a checkpoint a step."""
    return run(root, root / 'straight')


def checkpoint(folder: Path, iteration: int) -> dict:
    path = folder / f'iter_{iteration}.pth'
    return torch.load(path, weights_only=False)


def student(state: dict, prefix: str = '') -> dict:
    parts = (f'{prefix}backbone.', f'{prefix}decode_head.')
    return {
        key.removeprefix(prefix): value
        for key, value in state.items()
        if key.startswith(parts)
    }


def same(first: object, second: object) -> bool:
    """Compare nested states bit by bit."""
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(
            same(first[key], second[key]) for key in first
        )
    if isinstance(first, list | tuple):
        return len(first) == len(second) and all(map(same, first, second))
    if isinstance(first, torch.Tensor):
        return torch.equal(first, second)
    return first == second


def same_run(first: Path, second: Path) -> bool:
    one, two = checkpoint(first, ITERS), checkpoint(second, ITERS)
    parts = ('state_dict', 'optimizer', 'param_schedulers')
    return all(same(one[part], two[part]) for part in parts)


def test_the_labeler_is_the_student_of_the_boundary(root, straight):
    warm = torch.load(root / 'warm.pth')['state_dict']
    third = student(checkpoint(straight, STAGE)['state_dict'])
    assert not same(third, warm)
    for iteration in range(1, ITERS + 1):
        state = checkpoint(straight, iteration)['state_dict']
        first = iteration <= STAGE
        assert state['stage'] == (1 if first else 2)
        assert same(
            student(state, 'teacher.module.'), warm if first else third
        )
        assert not same(student(state), student(state, 'teacher.module.'))


def slow_anchors(root: Path, network: dict) -> tuple[np.ndarray, np.ndarray]:
    """Average each class's features over all source pixels, one by one."""
    stock = MODELS.build(tiny.segmentor())
    stock.load_state_dict(network)
    stock.eval()
    sums, counts = np.zeros((19, 8)), np.zeros(19)
    classes = {raw: train for train, raw in tiny.CITYSCAPES.items()}
    for path in sorted((root / 'gta/images').iterdir()):
        rgb = np.asarray(Image.open(path), np.float32)
        image = (rgb - tiny.MEAN) / tiny.STD
        image = torch.from_numpy(image.transpose(2, 0, 1)).float()
        with torch.no_grad():
            pyramid = stock.extract_feat(image.unsqueeze(0))
            feat = stock.decode_head._forward_feature(pyramid)[0].double()
        ids = np.asarray(Image.open(root / 'gta/labels' / path.name))
        height, width = feat.shape[1:]
        for i in range(height):
            for j in range(width):
                raw = ids[
                    i * ids.shape[0] // height, j * ids.shape[1] // width
                ]
                if (label := classes[int(raw)]) != tiny.VOID:
                    sums[label] += feat[:, i, j].numpy()
                    counts[label] += 1
    return sums / np.maximum(counts, 1)[:, None], counts


def test_the_anchors_are_those_of_the_stages_labeler(root, straight):
    found = []
    for stage in (1, 2):
        states = [
            checkpoint(straight, iteration)['state_dict']
            for iteration in range((stage - 1) * STAGE + 1, stage * STAGE + 1)
        ]
        teacher = student(states[0], 'teacher.module.')
        anchors, counts = slow_anchors(root, teacher)
        for state in states:
            assert state['anchor_bank.counts'].tolist() == counts.tolist()
            np.testing.assert_allclose(
                state['anchor_bank.anchors'], anchors, rtol=1e-5, atol=1e-5
            )
        found.append(anchors)
    assert set(np.flatnonzero(counts)) == set(tiny.USED)
    assert not np.allclose(found[0], found[1], rtol=1e-3)


def test_the_optimizer_and_the_rate_start_afresh(straight):
    for iteration in range(1, ITERS + 1):
        optimizer = checkpoint(straight, iteration)['optimizer']
        steps = {int(s['step']) for s in optimizer['state'].values()}
        assert steps == {(iteration - 1) % STAGE + 1}
        factor = (1 - iteration % STAGE / STAGE) ** 0.9
        for group in optimizer['param_groups']:
            assert group['lr'] == pytest.approx(1e-2 * factor)


def test_the_student_learns_from_pseudo_labels(straight):
    [path] = straight.glob('*/vis_data/scalars.json')
    log = path.read_text()
    assert log.count('target.loss_ce_anchor') == ITERS
    assert log.count('"mIoU"') == 2  # validation after each stage


@pytest.mark.parametrize('workers', [0, 2])
@pytest.mark.parametrize('stop', [2, STAGE, 4])
def test_a_resumed_run_is_the_one_never_stopped(
    root, straight, tmp_path, workers, stop
):
    changes = dict(
        load_from=str(straight / f'iter_{stop}.pth'),
        resume=True,
        default_hooks=dict(checkpoint=dict(interval=ITERS)),
    )
    assert same_run(run(root, tmp_path, workers, **changes), straight)


def test_workers_change_nothing(root, straight, tmp_path):
    assert same_run(run(root, tmp_path, workers=2), straight)


def test_no_label_of_the_target_is_opened(
    root, straight, tmp_path, monkeypatch
):
    towns = tmp_path / 'towns'
    shutil.copytree(root, towns, ignore=shutil.ignore_patterns('straight'))
    shutil.rmtree(towns / 'cityscapes/gtFine/train')
    opened = builtins.open

    def guarded(file, *args, **kwargs):
        assert 'gtFine/train' not in str(file), file
        return opened(file, *args, **kwargs)

    monkeypatch.setattr(builtins, 'open', guarded)
    folder = run(towns, tmp_path / 'run')
    assert same_run(folder, straight)


def test_a_class_without_a_source_pixel(root, straight):
    [log] = straight.glob('*/*.log')
    warning, _ = [  # of the two stages
        line
        for line in log.read_text().splitlines()
        if 'WARNING' in line and 'No source pixel' in line
    ]
    assert 'sidewalk' in warning and 'train' in warning
    assert not any(name in warning for name in ('road', 'sky', 'car,'))
    model = MODELS.build(tiny.cag(margin=0.0))
    model.load_state_dict(checkpoint(straight, ITERS)['state_dict'])
    model.pseudo_label_head.margin.zero_()
    labels = model.label_target(torch.randn(20, 3, *tiny.SIZE))['anchor']
    assert set(labels.unique().tolist()) <= set(tiny.USED)
    assert len(labels.unique()) > 1
