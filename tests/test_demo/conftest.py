# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import copy
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.logging import HistoryBuffer
from mmseg.registry import MODELS

from tests import tiny
from tests.conftest import FORMATTED

# A network of mmseg's own classes: an embedded config may use no others but
# those and the plugin's.
BACKBONE = dict(
    type='ResNetV1c',
    depth=18,
    base_channels=4,
    stem_channels=4,
    num_stages=1,
    strides=(1,),
    dilations=(1,),
    out_indices=(0,),
    norm_cfg=dict(type='BN', requires_grad=True),
)


@pytest.fixture(scope='session')
def make_checkpoint():
    """Save a network as a run does, with the config in its meta data."""

    def make(path: Path, network: dict, change: str = '') -> Path:
        network = copy.deepcopy(network)
        network['backbone'] = BACKBONE
        for part in ('decode_head', 'auxiliary_head'):
            if part in network:
                network[part].update(in_channels=4)
        cfg = Config(
            dict(
                custom_imports=dict(imports=['mmseg_cag']),
                model=network,
                test_dataloader=dict(dataset=tiny.cityscapes(Path(), 'val')),
            ),
            format_python_code=False,
        )
        history = HistoryBuffer()
        history.update(0.5)
        content = dict(
            meta=dict(
                cfg=FORMATTED.fget(cfg) + change,  # as a run writes it
                best_score=np.float32(0.5),
                dataset_meta=dict(classes=CLASSES, palette=PALETTE),
            ),
            state_dict=MODELS.build(cfg.model).state_dict(),
            message_hub=dict(log_scalars={'train/loss': history}),
        )
        torch.save(content, path)
        return path

    return make


CLASSES = [f'class {index}' for index in range(19)]
PALETTE = [[10 * index, 255 - 10 * index, 7 * index] for index in range(19)]


@pytest.fixture(scope='session')
def checkpoint(make_checkpoint, tmp_path_factory) -> Path:
    """A checkpoint of a CAG run, `run/iter_6.pth`."""
    folder = tmp_path_factory.mktemp('demo') / 'run'
    folder.mkdir()
    return make_checkpoint(folder / 'iter_6.pth', tiny.cag())


@pytest.fixture
def images(tmp_path) -> Path:
    """A folder of two images, one of them in a subfolder."""
    rng = np.random.default_rng(0)
    for name in ('a.png', 'deep/er/b.jpg'):
        path = tmp_path / 'images' / name
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), rng.integers(0, 256, (48, 64, 3), np.uint8))
    return tmp_path / 'images'


@pytest.fixture
def video(tmp_path) -> Path:
    """Eight frames, 20 a second."""
    path = tmp_path / 'drive.avi'
    codec = cv2.VideoWriter.fourcc(*'MJPG')
    writer = cv2.VideoWriter(str(path), codec, 20, (64, 48))
    rng = np.random.default_rng(0)
    for _ in range(8):
        writer.write(rng.integers(0, 256, (48, 64, 3), np.uint8))
    writer.release()
    return path
