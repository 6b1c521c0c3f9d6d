# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from mmcv.transforms import BaseTransform
from mmseg.registry import TRANSFORMS


def make_pipelines(
    steps: list[dict], cache_dir: str
) -> dict[str, list[BaseTransform]]:
    """Build a training pipeline in three forms.

    Args:
        steps: Its steps, with `LoadImageOnDemand` and `RandomResizeCrop`.
        cache_dir: Folder of the third form's cache.

    Returns:
        ``stock``, with mmseg's transforms, ``windowed`` and ``cached``.
    """
    plain = [{k: v for k, v in s.items() if k != 'cache_dir'} for s in steps]
    forms = {
        'stock': [part for step in plain for part in _stock(step)],
        'windowed': plain,
        'cached': [
            {**step, 'cache_dir': cache_dir} if 'cache_dir' in step else step
            for step in steps
        ],
    }
    return {
        name: [TRANSFORMS.build(step) for step in form]
        for name, form in forms.items()
    }


def _stock(step: dict) -> list[dict]:
    """Express a transform of this package by mmseg's."""
    if step['type'] == 'LoadImageOnDemand':
        return [dict(type='LoadImageFromFile')]
    if step['type'] == 'LoadLabelIds':
        return [dict(type='LoadAnnotations')]  # as for converted labels
    if step['type'] != 'RandomResizeCrop':
        return [step]
    resize = dict(
        type='RandomResize',
        scale=step['scale'],
        ratio_range=step['ratio_range'],
        keep_ratio=True,
    )
    crop = dict(type='RandomCrop', crop_size=step['crop_size'])
    if 'frame_size' not in step:
        return [resize, crop]
    return [dict(type='Resize', scale=step['frame_size']), resize, crop]
