# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from pathlib import Path

import pytest
import torch
from mmseg.registry import DATASETS, MODELS

from mmseg_cag.models.segmentors import CAGSegmentor
from tests import tiny

SPIKE = '<script>window.spiked = true</script>'


def save_network(model: CAGSegmentor, path: Path, stage: int) -> None:
    """Save a checkpoint of this stage, its anchors drawn at random."""
    model.stage.fill_(stage)
    model.anchor_bank.anchors.normal_()
    model.anchor_bank.counts.fill_(1)
    torch.save({'meta': {}, 'state_dict': model.state_dict()}, path)


@pytest.fixture(scope='session')
def town(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp('town')
    tiny.write_cityscapes(root / 'cityscapes', 'val', 3)
    return root


@pytest.fixture
def finished(town, tmp_path, monkeypatch) -> Path:
    """A finished run of two stages, of which the source run is kept."""
    folder = tmp_path / 'cag'
    cfg = tiny.run_config(town, folder)
    meta = DATASETS.get(cfg.val_dataloader.dataset.type).METAINFO
    classes = (SPIKE, *meta['classes'][1:])
    monkeypatch.setitem(meta, 'classes', classes)
    cfg.load_from = str(tmp_path / 'source' / 'iter_9.pth')
    for name in ('source', 'cag'):
        start = tmp_path / name / '20260101_000000' / 'vis_data'
        start.mkdir(parents=True)
        cfg.dump(start / 'config.py')
        (start / 'scalars.json').write_text(
            '{"loss": 1.5, "iter": 1, "step": 1}\n'
            '{"loss": 1.0, "iter": 6, "step": 6}\n'
        )
    with torch.no_grad():
        model = MODELS.build(cfg.model)
        for stage in (1, 2):
            path = folder / f'iter_{3 * stage}.pth'
            save_network(model, path, stage)
        save_network(model, Path(cfg.load_from), 0)
    return folder
