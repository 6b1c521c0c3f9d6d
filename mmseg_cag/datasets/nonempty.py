# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmseg.registry import DATASETS


def build_nonempty(cfg: dict, name: str) -> BaseDataset:
    """Build a data set that has at least one image.

    mmengine cannot even build an empty one, and says so in a way that names
    neither folder nor key.

    Args:
        cfg: Config of the data set.
        name: Key of that config, for the error.

    Raises:
        ValueError: The config is missing or its folder holds no image.
    """
    if not cfg:
        raise ValueError(
            f'{name} is missing, expected the config of a data set'
        )
    dataset = DATASETS.build({**cfg, 'lazy_init': True})
    if not dataset.load_data_list():
        raise ValueError(
            f'{name} has no image in {dataset.data_prefix["img_path"]}, '
            f'expected files *{dataset.img_suffix}'
        )
    dataset.full_init()
    return dataset


def require_images(cfg: Config, *loaders: str) -> None:
    """Check, before a run is built, that its plain data sets have images.

    Args:
        cfg: The run's config.
        loaders: Keys of dataloaders, such as ``val_dataloader``. A pair of
            domains checks itself.

    Raises:
        ValueError: One has none.
    """
    for loader in loaders:
        dataset = (cfg.get(loader) or {}).get('dataset')
        if dataset and dataset.type != 'UDADataset':
            build_nonempty(dataset, f'{loader}.dataset')
