# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from mmcv.transforms import Compose
from mmengine.config import Config
from mmseg.registry import TRANSFORMS
from PIL import Image

from tests import tiny

CONFIG = Path(__file__).parents[2] / 'configs/clan/deeplabv2_gta2cs.py'
SCALE = (50, 20)  # width and height


def test_the_image_stays_and_the_label_is_resized_by_pillow():
    image, labels = tiny.draw_scene(np.random.default_rng(0))
    resize = dict(type='ResizeLabel', scale=SCALE, backend='pillow')
    results = TRANSFORMS.build(resize)(dict(img=image, gt_seg_map=labels))
    expected = Image.fromarray(labels).resize(SCALE, Image.Resampling.NEAREST)
    np.testing.assert_array_equal(results['gt_seg_map'], np.array(expected))
    assert results['img'] is image


@pytest.mark.parametrize('domain', ['source', 'target'])
def test_the_pipelines_of_clan(domain, tmp_path):
    """Images have three sizes; labels keep theirs and are flipped alike."""
    tiny.write_gta(tmp_path, count=1)
    config = Config.fromfile(CONFIG)
    dataset = config.train_dataloader.dataset.domains[domain]
    pipeline = Compose(
        [TRANSFORMS.build(step) for step in dataset.pipeline[:-1]]
    )
    base = (720, 1280) if domain == 'source' else (512, 1024)
    heights, seen = set(), {}
    for _ in range(12):
        results = pipeline(
            dict(
                img_path=str(tmp_path / 'images/00001.png'),
                seg_map_path=str(tmp_path / 'labels/00001.png'),
                seg_fields=[],
                label_map=None,
                reduce_zero_label=False,
            )
        )
        heights.add(results['img'].shape[0])
        if domain == 'source':
            assert results['gt_seg_map'].shape == base
            seen[results['flip']] = results['gt_seg_map']
    assert heights == {int(base[0] * factor) for factor in (0.8, 1.0, 1.1)}
    if domain == 'source':
        np.testing.assert_array_equal(seen[True], seen[False][:, ::-1])
