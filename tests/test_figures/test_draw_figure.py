# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""The figures, from a finished run to files."""

from __future__ import annotations

import re
import runpy
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from figures.features import (
    Pixels,
    choose_pixels,
    embed_2d,
    nearest_share,
)
from figures.pseudo_labels import label_image
from PIL import Image

from mmseg_cag.analysis.runs.labeling_network import build_labeling_network
from mmseg_cag.analysis.runs.network import (
    build_preprocessor,
    read_state,
    teacher_state,
)
from mmseg_cag.analysis.runs.run import open_run
from mmseg_cag.analysis.runs.samples import read_samples, source_dataset
from tests import finished

ROOT = Path(__file__).parents[2]
TOOL = 'tools/analysis/draw_figure.py'


@pytest.fixture
def folder(tmp_path):
    return finished.write_run(tmp_path)


def call(monkeypatch, *arguments):
    monkeypatch.setattr(sys, 'argv', [TOOL, *map(str, arguments)])
    runpy.run_path(str(ROOT / TOOL), run_name='__main__')


def check_files(base: Path) -> None:
    """Both files are there; the PDF embeds its fonts as TrueType."""
    with Image.open(f'{base}.png') as image:
        assert image.width > 1000
        assert len(np.unique(np.asarray(image.convert('RGB')))) > 50
    pdf = Path(f'{base}.pdf').read_bytes()
    assert b'/FontFile2' in pdf and b'/Type3' not in pdf


@pytest.mark.parametrize('name', ['pseudo_labels', 'panels', 'features'])
def test_a_figure_of_cag(folder, name, monkeypatch, capsys):
    call(monkeypatch, name, folder, '--images', 2)
    check_files(folder / 'figures' / name)
    assert f'{name}.pdf written' in capsys.readouterr().out


@pytest.mark.parametrize('name', ['pseudo_labels', 'features'])
def test_a_figure_of_a_network_without_anchors(
    folder, name, monkeypatch, tmp_path
):
    plain = finished.make_plain(folder)
    out = tmp_path / 'out' / 'figure.v1'
    call(monkeypatch, name, plain, '--images', 2, '--out', out)
    check_files(out)


def test_anchors_are_those_of_the_checkpoint_or_made(folder):
    run = open_run(folder)
    path = run.checkpoints[6]
    state = read_state(path)
    kept = build_labeling_network(run.cfg, teacher_state(state), path, 7)
    assert kept.bank.anchors.cpu().equal(state['anchor_bank.anchors'])
    state['anchor_bank.counts'].zero_()
    made = build_labeling_network(run.cfg, state, path, 7)
    assert made.bank.counts.sum() > 0
    assert not made.bank.anchors.cpu().equal(state['anchor_bank.anchors'])
    again = build_labeling_network(run.cfg, state, path, 7)
    assert again.bank.anchors.equal(made.bank.anchors)


@pytest.mark.parametrize('saved', ['auto', 7.0])
def test_a_margin_of_other_scores_is_computed_anew(folder, saved):
    run = open_run(folder)
    path = run.checkpoints[6]
    state = read_state(path)
    state['running_margin.counts'] = torch.zeros(1)  # of a mean teacher
    state['pseudo_label_head.margin'] = torch.full((19,), 7.0)
    head = run.cfg.model.pseudo_label_head
    head.margin, head.precision = saved, 0.01

    def margin_of(*score: str, **kwargs: bool) -> float:
        if score:
            [run.cfg.model.margin_of] = score
        built = build_labeling_network(run.cfg, state, path, 7, **kwargs)
        assert built.bank.anchors.cpu().equal(state['anchor_bank.anchors'])
        return built.head.margin.max().item()

    assert margin_of() < 7  # by default that of both scores
    assert margin_of(with_margin=False) == 7
    assert margin_of('probability') < 7
    assert margin_of('anchor') == 7


@pytest.mark.parametrize('has_limits', [False, True])
def test_labels_are_those_that_training_takes(folder, has_limits):
    run = open_run(folder)
    path = run.checkpoints[6]
    state = read_state(path)
    [sample] = read_samples(source_dataset(run.cfg), [0])
    preprocessor = build_preprocessor(run.cfg, 'target')
    if has_limits:
        bare = build_labeling_network(run.cfg, teacher_state(state), path, 7)
        seen = bare.see(preprocessor, sample)
        limit = bare.bank.distances(seen.feat).amin(1).median().item()
        state['pseudo_label_head.unknown.limit'] = torch.full((19,), limit)
        run.cfg.model.pseudo_label_head.unknown_quantile = 0.5
    teacher = build_labeling_network(run.cfg, teacher_state(state), path, 7)
    maps = label_image(teacher, preprocessor, sample)

    from mmseg.registry import MODELS

    model = MODELS.build(run.cfg.model).eval()
    model.load_state_dict(state)
    model.pseudo_label_head.by = ('anchor', 'probability')
    images = model.data_preprocessor(
        dict(inputs=[sample.image], data_samples=[sample.data])
    )['inputs']
    expected = model.label_target(images)
    for kind, found in maps.kinds.items():
        label = np.where(found.active, found.label, 255)
        assert np.array_equal(label, expected[kind][0].numpy()), kind


def test_the_same_pixels_each_time():
    labels = np.array([[0, 1, 1], [255, 1, -1]])
    chosen = choose_pixels(labels, 3, 2, np.random.default_rng(0))
    assert 0 in chosen and len(chosen) == 3
    assert set(chosen) <= {0, 1, 2, 4}
    again = choose_pixels(labels, 3, 2, np.random.default_rng(0))
    assert chosen.tolist() == again.tolist()


def test_the_share_nearest_to_their_anchor_is_over_classes(folder):
    run = open_run(folder)
    path = run.checkpoints[6]
    teacher = build_labeling_network(run.cfg, read_state(path), path, 1)
    anchors = teacher.bank.anchors.cpu().numpy()
    # Class 0 is right three times in three, class 1 once in two.
    feats = anchors[[0, 0, 0, 1, 0]]
    pixels = Pixels(np.array([0, 0, 0, 1, 1]), [feats])
    assert nearest_share(teacher, pixels, 0) == pytest.approx(0.75)


def test_the_embedding_is_joint_and_repeatable():
    rng = np.random.default_rng(1)
    one = rng.normal(size=(30, 6))
    parts = [one, one + 1e-6, rng.normal(size=(3, 6)) + 40]
    first, near, far = embed_2d(parts)
    assert [p.shape for p in (first, near, far)] == [(30, 2), (30, 2), (3, 2)]
    spread = np.linalg.norm(first - first.mean(0), axis=1).mean()
    assert np.linalg.norm(first - near, axis=1).mean() < spread / 5
    assert np.abs(np.concatenate([first, near, far])).max() <= 1
    assert np.array_equal(embed_2d(parts)[0], first)


def damage(folder: Path, how: str) -> None:
    if how == 'checkpoint':
        (folder / 'iter_6.pth').write_bytes(b'no checkpoint')
    elif how == 'none':
        for path in folder.glob('*.pth'):
            path.unlink()
    elif how in ('gta', 'cityscapes', 'cityscapes/gtFine'):
        shutil.rmtree(folder.parent / how)
    elif how == 'head':
        for path in folder.glob('*.pth'):
            state = torch.load(path)
            del state['state_dict'][
                'teacher.module.decode_head.conv_seg.weight'
            ]
            del state['state_dict']['decode_head.conv_seg.weight']
            torch.save(state, path)


@pytest.mark.parametrize(
    ('name', 'how', 'line'),
    [
        ('pseudo_labels', 'checkpoint', 'iter_6.pth: refused, it is unread'),
        ('panels', 'checkpoint', 'iter_6.pth: refused, it is unreadable'),
        ('features', 'none', 'run: no checkpoint iter_*.pth'),
        ('features', 'gta', 'no folder'),
        ('panels', 'cityscapes', 'val_dataloader.dataset: no folder'),
        ('panels', 'cityscapes/gtFine', 'labelIds.png'),
        ('pseudo_labels', 'head', "does not fit this config's network"),
    ],
)
def test_what_cannot_be_drawn(folder, monkeypatch, name, how, line):
    damage(folder, how)
    with pytest.raises(SystemExit) as caught:
        call(monkeypatch, name, folder, '--images', 2)
    message = caught.value.code
    assert message.startswith('error: ') and line in message, message
    assert '\n' not in message


def test_an_image_that_is_not_there(folder, monkeypatch):
    with pytest.raises(SystemExit) as caught:
        call(monkeypatch, 'panels', folder, '--show', 0, 9)
    found = re.fullmatch('error: --show 9: .* 0 to 1', caught.value.code)
    assert found, caught.value.code
