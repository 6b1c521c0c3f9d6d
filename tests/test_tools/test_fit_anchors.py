# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""tools/fit_anchors.py on tiny towns, in this process."""

from __future__ import annotations

import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmseg.registry import MODELS

from mmseg_cag.engine.records.descent import entry, read_descent
from tests import tiny

ROOT = Path(__file__).parents[2]
TOOL = ROOT / 'tools/fit_anchors.py'
HEAD = dict(
    type='AnchorHead',
    in_channels=48,
    num_classes=19,
    align_corners=False,
    whiten=True,
    per_class=2,
)


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run the tool on a config with this head; returns the checkpoint."""
    tiny.write_towns(tmp_path)
    cfg = tiny.run_config(tmp_path, tmp_path / 'run')
    cfg.model = tiny.segmentor()
    cfg.model.data_preprocessor.size = (28, 56)
    cfg.model.backbone = dict(
        type='DINOv2',
        arch=dict(dim=48, depth=2, heads=3),
        frozen_stages='all',
        pretrain_size=56,
        resize=1.0,
    )
    for key in ('dataloader', 'evaluator', 'cfg'):
        name = f'val_{key}'
        cfg[f'test_{key}'] = cfg[name] if key != 'cfg' else dict()
    cfg.test_cfg = dict(type='TestLoop')
    cfg.test_evaluator = dict(type='UDAIoUMetric')

    def tool(head: dict, *options: str) -> Path:
        cfg.model.pop('decode_head')
        cfg.model.decode_head = head
        path = tmp_path / 'config.py'
        cfg.dump(path)
        arguments = [TOOL, path, '--work-dir', tmp_path / 'anchors', *options]
        monkeypatch.setattr('sys.argv', list(map(str, arguments)))
        runpy.run_path(str(TOOL), run_name='__main__')
        return tmp_path / 'anchors/anchors.pth'

    return tool


def test_it_writes_a_checkpoint_and_shows_how_good_it_is(run, capsys):
    path = run(HEAD)
    state = torch.load(path, weights_only=True)['state_dict']
    counts = state['decode_head.anchor_bank.counts'].view(19, 2)
    met = counts.sum(1).nonzero().flatten().tolist()
    assert set(met) == set(tiny.USED)
    assert state['decode_head.pseudo_label_head.margin'].isfinite().all()
    chain = read_descent(path)
    data = [one for one in chain if one['kind'] == 'data']
    assert data == [entry('data', 'GTA5', 'LicenseRef-GTA5', None, 'anchors')]
    assert any(one['kind'] == 'code' for one in chain)
    shown = capsys.readouterr().out
    assert 'precision' in shown and 'tools/test.py' in shown


def test_another_head_is_refused(run):
    head = tiny.segmentor().decode_head
    head.in_channels = 48
    with pytest.raises(SystemExit, match='FCNHead, expected AnchorHead'):
        run(head)


def test_sources_are_normalised_as_in_training():
    cfg = tiny.segmentor()
    cfg.data_preprocessor = dict(
        type='UDADataPreprocessor',
        domains=dict(third=tiny.preprocessor(mean=[10.0, 20.0, 30.0])),
        default=tiny.preprocessor(),
    )
    model = MODELS.build(cfg).eval()
    batch = {key: part['source'] for key, part in tiny.raw_batch().items()}
    batch['inputs'][1] = batch['inputs'][0]
    batch['data_samples'][1].set_metainfo(dict(domain='third'))
    tool = runpy.run_path(str(TOOL))
    [(maps, _)] = tool['passes'](SimpleNamespace(model=model), [batch], '')
    plain = model.data_preprocessor.default
    other = model.data_preprocessor.domains['third']
    for own, preprocessor in zip(maps[0], (plain, other), strict=True):
        inputs = preprocessor(dict(inputs=batch['inputs'][:1]))['inputs']
        with torch.no_grad():
            [expected] = model.extract_feat(inputs)[0]
        torch.testing.assert_close(own, expected)
