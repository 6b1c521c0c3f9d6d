# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""What is read of a work dir, and what is said of one that is damaged."""

from __future__ import annotations

import copy
import shutil

import pytest
import torch
from mmengine.device import get_device
from mmseg.registry import MODELS

from mmseg_cag.analysis.runs.network import (
    build_network,
    read_state,
    start_state,
    teacher_state,
)
from mmseg_cag.analysis.runs.run import open_run
from mmseg_cag.analysis.runs.samples import (
    build_dataset,
    read_samples,
    source_dataset,
)
from mmseg_cag.datasets.dataset_configs import spread
from mmseg_cag.errors import MissingFileError, UserError
from tests import finished


@pytest.fixture
def folder(tmp_path):
    return finished.write_run(tmp_path)


def test_checkpoints_are_by_iteration_and_stage(folder):
    last = folder / 'iter_6.pth'
    for name in ('iter_12.pth', 'best_mIoU_iter_6.pth', 'iter_x.pth'):
        shutil.copy(last, folder / name)
    run = open_run(folder)
    assert list(run.checkpoints) == [3, 6, 12]
    assert run.stage_of(1) == run.stage_of(3) == 1 and run.stage_of(4) == 2
    assert run.stage_ends == {
        'Stage 1': folder / 'iter_3.pth',
        'Stage 2': last,
        'Stage 4': folder / 'iter_12.pth',
    }
    plain = open_run(finished.make_plain(folder))
    assert plain.stage_of(3) is None
    assert list(plain.stage_ends) == ['Last checkpoint']


def test_settings_are_overridden(folder):
    run = open_run(folder, {'val_dataloader.dataset.data_root': 'elsewhere'})
    assert run.cfg.val_dataloader.dataset.data_root == 'elsewhere'


def test_a_run_began_from_its_first_labeler(folder):
    first, second = (
        read_state(folder / name) for name in ('iter_3.pth', 'iter_6.pth')
    )
    start = start_state(open_run(folder))
    key = 'backbone.layers.0.conv.weight'
    assert key in start
    assert start[key].equal(first[f'teacher.module.{key}'])
    assert not start[key].equal(first[key])
    assert start_state(open_run(folder), folder / 'iter_6.pth')[key].equal(
        second[key]
    )


def test_or_from_what_the_config_names(folder):
    (folder / 'iter_3.pth').unlink()
    assert start_state(open_run(folder)) is None
    plain = finished.make_plain(folder)
    origin = plain / 'iter_3.pth'
    run = open_run(folder, {'load_from': str(origin)})
    key = 'backbone.layers.0.conv.weight'
    assert start_state(run)[key].equal(read_state(origin)[key])
    origin.unlink()
    with pytest.raises(MissingFileError, match='iter_3.pth: checkpoint not'):
        start_state(run)


def test_a_resumed_run_began_before_its_own_checkpoint(folder):
    (folder / 'iter_3.pth').unlink()
    origin = finished.make_plain(folder) / 'iter_3.pth'
    run = open_run(folder, {'load_from': str(folder / 'iter_6.pth')})
    # Only its last start is known.
    assert start_state(run) is None
    first = folder / '1/vis_data/config.py'
    first.parent.mkdir(parents=True)
    first.write_text(f'load_from = {str(origin)!r}\n')
    key = 'backbone.layers.0.conv.weight'
    assert start_state(run)[key].equal(read_state(origin)[key])


def test_the_network_is_the_student_or_the_labeler(folder):
    run = open_run(folder)
    path = run.checkpoints[6]
    state = read_state(path)
    key = 'conv_seg.weight'
    for wanted, mark in (
        (state, ''),
        (teacher_state(state), 'teacher.module.'),
    ):
        model = build_network(run.cfg, wanted, path)
        assert not model.training
        found = model.decode_head.state_dict()[key].cpu()
        assert found.equal(state[f'{mark}decode_head.{key}'])


def test_the_network_predicts_with_the_switches_of_its_run(folder):
    run = open_run(folder)
    run.cfg.model.test_cfg.softmax_first = True
    state = read_state(run.checkpoints[6])
    model = build_network(run.cfg, state, folder)
    whole = MODELS.build(run.cfg.model).to(get_device()).eval()
    whole.load_state_dict(state, strict=False)
    [sample] = read_samples(source_dataset(run.cfg), [0])
    batch = dict(inputs=[sample.image], data_samples=[sample.data])
    with torch.no_grad():
        [expected] = whole.test_step(copy.deepcopy(batch))
        [found] = model.test_step(batch)
    scores = expected.seg_logits.data
    assert scores.sum(0).allclose(torch.ones_like(scores[0]))
    assert torch.equal(found.seg_logits.data, scores)


def test_images_are_evenly_spread(folder):
    dataset = source_dataset(open_run(folder).cfg)
    assert len(dataset) == 7
    assert spread(dataset, 3) == [0, 3, 6]
    assert spread(dataset, 100) == list(range(7))
    sample = next(read_samples(dataset, [0]))
    assert sample.truth.shape == sample.image.shape[-2:]


def test_what_is_missing_or_damaged_is_said_in_one_line(folder):
    def complaint(error, call, *arguments):
        with pytest.raises(error) as caught:
            call(*arguments)
        assert '\n' not in str(caught.value)
        return str(caught.value)

    line = complaint(MissingFileError, open_run, folder / 'none')
    assert line == f'{folder}/none: no such work dir'
    (folder / 'iter_6.pth').write_bytes(b'x' * 99)
    line = complaint(UserError, read_state, folder / 'iter_6.pth')
    assert 'iter_6.pth: refused, it is unreadable' in line
    cfg = open_run(folder).cfg
    state = {'x': torch.zeros(1)}
    line = complaint(UserError, build_network, cfg, state, folder)
    assert "does not fit this config's network" in line
    label = next((folder.parent / 'gta/labels').iterdir())
    label.write_bytes(b'x')
    samples = read_samples(source_dataset(cfg), list(range(7)))
    assert f'{label}: ' in complaint(UserError, list, samples)
    line = complaint(UserError, build_dataset, None, 'a.dataset')
    assert line.startswith('a.dataset is missing')
    shutil.rmtree(folder.parent / 'gta')
    line = complaint(MissingFileError, source_dataset, cfg)
    assert 'dataloader.dataset: no folder' in line
    for config, wanted in (('x = (', 'not plain data'), (None, 'no config')):
        (folder / 'config.py').unlink(missing_ok=True)
        if config:
            (folder / 'config.py').write_text(config)
        assert wanted in complaint(UserError, open_run, folder)
    for path in folder.glob('*.pth'):
        path.unlink()
    assert 'no checkpoint iter_*.pth' in complaint(
        MissingFileError, open_run, folder
    )
