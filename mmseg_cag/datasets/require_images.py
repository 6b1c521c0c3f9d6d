# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from pathlib import Path

from mmengine.config import Config
from mmseg.registry import DATASETS


def require_images(cfg: dict | None, name: str) -> None:
    """Check that a data set has at least one image.

    mmengine cannot even build an empty one, and says so in a way that names
    neither folder nor key.

    Args:
        cfg: Config of the data set.
        name: Key of that config, for the error.

    Raises:
        ValueError: The config is missing or its folder holds no image.
        FileNotFoundError: There is no such folder.
    """
    if not cfg:
        raise ValueError(
            f'{name} is missing, expected the config of a data set'
        )
    dataset = DATASETS.build({**cfg, 'lazy_init': True, 'pipeline': []})
    folder = Path(dataset.data_prefix['img_path'])
    if not folder.is_dir():
        raise FileNotFoundError(f'{name}: no folder {folder}')
    if not dataset.load_data_list():
        raise ValueError(
            f'{name} has no image in {folder}, '
            f'expected files *{dataset.img_suffix}'
        )


def require_images_of(cfg: Config, *loaders: str) -> None:
    """Check, before a run is built, that its plain data sets have images.

    Args:
        cfg: The run's config.
        loaders: Keys of dataloaders, such as ``val_dataloader``. A pair of
            domains checks itself.

    Raises:
        ValueError: One has none.
        FileNotFoundError: A folder does not exist.
    """
    for loader in loaders:
        dataset = (cfg.get(loader) or {}).get('dataset')
        if dataset and dataset.type != 'UDADataset':
            require_images(dataset, f'{loader}.dataset')
