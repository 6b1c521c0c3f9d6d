# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Read the target's training images with the test pipeline."""

from __future__ import annotations

from pathlib import PurePosixPath

from mmengine.config import Config
from mmseg.datasets import BaseSegDataset

from mmseg_cag.datasets.dataset_configs import (
    changed_leaves,
    leaves,
    require_images,
)
from mmseg_cag.errors import UserError
from mmseg_cag.models.student import student_pipeline


def target_images(cfg: Config, pooled: bool = False) -> dict:
    """Build the config of the target's training images, without labels.

    Args:
        cfg: The config of a run.
        pooled: Whether the target may be a `DomainPool`.

    Raises:
        UserError: The config trains on no target, or a combined one.
    """
    dataset = cfg.get('train_dataloader', {}).get('dataset', {})
    target, key = None, 'train_dataloader.dataset.domains.target'
    if dataset.get('type') == 'UDADataset':
        target = dataset.domains.get('target')
    if target is None:
        target, key = cfg.get('target_dataset'), 'target_dataset'
    require_images(target, key)
    parts = [part for _, _, part in leaves(target, key)]
    fits = 'datasets' not in target and (pooled or len(parts) == 1)
    if not fits or not all('data_prefix' in part for part in parts):
        raise UserError(
            f'{key}: {target.type} combines data sets, expected a single one '
            'with data_prefix.img_path'
        )
    steps = student_pipeline(cfg)
    return changed_leaves(
        target,
        lambda part: dict(
            part,
            # Drop the pseudo labels that it may have been trained on, too.
            data_prefix=dict(img_path=part['data_prefix']['img_path']),
            pipeline=steps,
            test_mode=True,
        ),
    )


def label_names(dataset: BaseSegDataset) -> dict[str, str]:
    """Name the label of each image: the image's name as PNG.

    Args:
        dataset: The images, built from `target_images`.

    Returns:
        Path of each image -> path of its label, relative to their folder.

    Raises:
        UserError: Two images would share a label.
    """
    root = f'{dataset.data_prefix["img_path"].rstrip("/")}/'
    paths = [dataset.get_data_info(i)['img_path'] for i in range(len(dataset))]
    names = {
        path: str(PurePosixPath(path.removeprefix(root)).with_suffix('.png'))
        for path in paths
    }
    if len(set(names.values())) < len(paths):
        raise UserError(f'{root}: images that differ only in their suffix')
    return names
