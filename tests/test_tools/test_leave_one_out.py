# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""tools/leave_one_out.py on tiny towns, in this process."""

from __future__ import annotations

import json
import runpy
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from mmseg_cag.errors import UserError
from tests import tiny

TOOL = Path(__file__).parents[2] / 'tools/leave_one_out.py'


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run the tool on a config with these sources."""
    tiny.write_towns(tmp_path)
    tiny.write_synthia(tmp_path / 'synthia')
    cfg = tiny.run_config(tmp_path, tmp_path / 'run')
    tiny.one_stage(cfg, 2)
    cfg.model = dict(tiny.segmentor(), type='SupervisedSegmentor')
    cfg.default_hooks.checkpoint.interval = 2
    cfg.val_evaluator = dict(type='UDAIoUMetric')
    cfg.merge_from_dict(
        dict(
            test_dataloader=cfg.val_dataloader,
            test_evaluator=cfg.val_evaluator,
            test_cfg=dict(type='TestLoop'),
        )
    )
    members = dict(gta=tiny.gta(tmp_path), third=tiny.synthia(tmp_path))
    cfg.anchor_dataloader.dataset = dict(type='DomainPool', members=members)

    def tool(names: list[str], *options: str) -> Path:
        cfg.train_dataloader.dataset.domains = dict(
            source=dict(
                type='DomainPool',
                members={name: members[name] for name in names},
                shares={name: 1 / len(names) for name in names},
            )
        )
        cfg.dump(tmp_path / 'config.py')
        # Spares the runner the formatting of its config, most of its time.
        monkeypatch.setattr(Config, 'pretty_text', property(repr))
        arguments = [TOOL, tmp_path / 'config.py', '--work-dir']
        arguments += [tmp_path / 'out', '--unseen-images', '2', *options]
        monkeypatch.setattr('sys.argv', list(map(str, arguments)))
        runpy.run_path(str(TOOL), run_name='__main__')
        return tmp_path / 'out'

    return tool


def test_a_run_with_all_and_one_without_each(run, capsys):
    folder = run(['gta', 'third'], '--leave-out', 'none', 'gta')
    found = json.loads((folder / 'leave_one_out.json').read_text())
    assert list(found) == ['none', 'gta']
    assert ['unseen' in own for own in found.values()] == [False, True]
    biases = [
        torch.load(folder / name / 'iter_2.pth', weights_only=False)[
            'state_dict'
        ]['decode_head.conv_seg.bias']
        for name in found
    ]
    assert not torch.equal(*biases)
    *_, header, plain, other = capsys.readouterr().out.strip().splitlines()
    assert header == 'left out | mIoU | unseen'
    assert plain.startswith('none | ') and other.startswith('gta | ')


def test_a_name_that_is_no_source_is_told_before_training(run, tmp_path):
    with pytest.raises(SystemExit, match='--leave-out=.synthia'):
        run(['gta', 'third'], '--leave-out', 'gta', 'synthia')
    assert not (tmp_path / 'out').exists()


@pytest.mark.parametrize(
    'source', [dict(type='GTADataset'), dict(members=dict(gta=dict(a=1)))]
)
def test_one_source_is_refused(source):
    members_of = runpy.run_path(str(TOOL))['members_of']
    cfg = Config(
        dict(train_dataloader=dict(dataset=dict(domains=dict(source=source))))
    )
    with pytest.raises(UserError, match='a DomainPool of two members'):
        members_of(cfg)


def test_a_start_is_trained_without_it_too():
    without = runpy.run_path(str(TOOL))['without']
    members = dict(gta=dict(a=1), third=dict(a=2))
    domains = dict(source=dict(members=members))
    cfg = Config(
        dict(
            train_dataloader=dict(dataset=dict(domains=domains)),
            anchor_dataloader=dict(dataset=dict(members=members)),
            start_from='start.py',
            start_options=dict(randomness=dict(seed=1)),
        )
    )
    found = without(cfg, 'gta', Path('out/gta'))
    for one in (found, found.start_options):
        for dataset in (
            one.train_dataloader.dataset.domains.source,
            one.anchor_dataloader.dataset,
        ):
            assert dataset.members.gta is None
    assert found.start_options.work_dir == 'out/gta_start'
    assert found.start_options.randomness.seed == 1
    assert cfg.train_dataloader.dataset.domains.source.members.gta.a == 1
