# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sized
from pathlib import Path

import numpy as np
from mmengine import fileio
from mmengine.config import Config
from mmseg.datasets import BaseSegDataset
from mmseg.registry import DATASETS

from mmseg_cag.errors import MissingFileError, UserError

# Dataloaders of a config and their roles.
LOADERS = {
    'train_dataloader': 'train',
    'val_dataloader': 'val',
    'test_dataloader': 'test',
    'anchor_dataloader': 'anchors',
    'translate_dataloader': 'translation',
}
# Hooks that read anchor_dataloader.
ANCHOR_HOOKS = ('AnchorHook', 'ForeignAnchorHook')


def hooks_of(cfg: dict) -> list[dict]:
    """List the hooks of a config, the project's and the user's."""
    named = (cfg.get('default_hooks') or {}).values()
    return [
        hook for hook in (*named, *(cfg.get('custom_hooks') or [])) if hook
    ]


def loaders_of(cfg: dict) -> list[str]:
    """List the dataloaders that a run reads."""
    found = [loader for loader in LOADERS if cfg.get(loader)]
    if not any(hook.get('type') in ANCHOR_HOOKS for hook in hooks_of(cfg)):
        # Only used for figures.
        return [loader for loader in found if loader != 'anchor_dataloader']
    return found


def dataset_of(cfg: dict, loader: str) -> dict | None:
    """Return the dataset config of a dataloader.

    Raises:
        UserError: The dataloader is not a config.
    """
    if not isinstance(cfg[loader], dict):
        raise UserError(f'{loader}: expected the config of a dataloader')
    return cfg[loader].get('dataset')


def leaves(
    cfg: dict | None,
    key: str,
    role: str = '',
    whole: Collection[str] = (),
) -> Iterator[tuple[str, str, dict | None]]:
    """Yield key, role and config of each dataset inside wrappers.

    Args:
        cfg: Config of a dataset, a wrapper or a `UDADataset`.
        key: Its key in the whole config.
        role: Its role in the run; domains of `UDADataset` have their own.
        whole: Wrapper types that are not opened.

    Raises:
        UserError: A part is not a config.
    """
    cfg = cfg or {}
    if not isinstance(cfg, dict):
        raise UserError(f'{key}: expected the config of a data set')
    if cfg.get('type') in whole:
        yield key, role, cfg
    elif cfg.get('type') == 'UDADataset':
        domains = cfg.get('domains')
        if not isinstance(domains, dict) or not domains:
            raise UserError(
                f'{key}.domains is missing, expected the data sets by name, '
                'such as domains=dict(source=..., target=...)'
            )
        for domain, part in domains.items():
            yield from leaves(part, f'{key}.domains.{domain}', domain, whole)
    elif isinstance(cfg.get('members'), dict):
        for name, part in cfg['members'].items():
            if part:  # None is skipped
                yield from leaves(part, f'{key}.members.{name}', role, whole)
    elif 'dataset' in cfg:
        yield from leaves(cfg['dataset'], f'{key}.dataset', role, whole)
    elif isinstance(cfg.get('datasets'), list | tuple):
        for index, part in enumerate(cfg['datasets']):
            yield from leaves(part, f'{key}.datasets.{index}', role, whole)
    else:
        yield key, role, cfg or None


def changed_leaves(cfg: dict, change: Callable[[dict], dict]) -> dict:
    """Change the config of each dataset inside wrappers.

    Args:
        cfg: Config of a dataset or wrapper, not modified.
        change: Function from a dataset config to a new one.
    """
    if isinstance(cfg.get('members'), dict):
        members = {
            name: part and changed_leaves(part, change)
            for name, part in cfg['members'].items()
        }
        return {**cfg, 'members': members}
    if 'dataset' in cfg:
        return {**cfg, 'dataset': changed_leaves(cfg['dataset'], change)}
    return change(cfg)


def target_config(cfg: dict) -> dict | None:
    """Find the dataset config of the target, the last domain if several.

    Uses the evaluation images or, without evaluation, the training images.

    Args:
        cfg: The config of a run.
    """
    for loader in ('val_dataloader', 'test_dataloader', 'train_dataloader'):
        if dataset := (cfg.get(loader) or {}).get('dataset'):
            *_, (_, _, part) = leaves(dataset, f'{loader}.dataset')
            return part
    return None


def spread(items: Sized, count: int | None) -> list[int]:
    """Choose at most ``count`` evenly spaced indices of a dataset."""
    number = len(items)
    count = number if count is None else min(count, number)
    return np.linspace(0, number - 1, count, dtype=int).tolist()


def class_info(cfg: dict) -> dict:
    """Look up the names and colours of the target's classes.

    Args:
        cfg: The config of a run.

    Raises:
        UserError: The classes are not named, or their file is missing.
    """
    dataset = target_config(cfg) or dict(type='BaseSegDataset')
    known = DATASETS.get(dataset['type']).METAINFO
    own = dataset.get('metainfo', {})
    classes = own.get('classes') or known.get('classes')
    if isinstance(classes, str):  # a file, as mmengine reads it
        if not Path(classes).is_file():
            raise UserError(
                f'metainfo.classes={classes!r}: no such file, expected one '
                'with a name per line, or a list'
            )
        classes = fileio.list_from_file(classes)
    if not classes:
        raise UserError('metainfo.classes: not set, expected their names')
    names, colours = known.get('classes', ()), known.get('palette', ())
    colour_of = dict(zip(names, colours, strict=False))
    palette = own.get('palette') or [colour_of.get(name) for name in classes]
    if None in palette:
        # mmseg's random colours for other classes.
        drawn = np.random.RandomState(42)
        palette = drawn.randint(0, 255, (len(classes), 3)).tolist()
    return dict(classes=classes, palette=palette)


def require_images(cfg: dict | None, name: str) -> None:
    """Check that a dataset, or each part of a combined one, has images.

    mmengine cannot build an empty dataset, and its error names neither folder
    nor key.

    Args:
        cfg: Config of the data set.
        name: Key of that config, for the error.

    Raises:
        UserError: The config is missing or its folder holds no image.
        MissingFileError: There is no such folder.
    """
    for key, _, part in leaves(cfg, name):
        if part is None:
            raise UserError(
                f'{key} is missing, expected the config of a data set'
            )
        _require_images_of_one(part, key)


def _require_images_of_one(cfg: dict, name: str) -> None:
    try:
        _list_images(cfg, name)
    except UserError:
        raise
    # Wrong settings can raise anything in the classes.
    except Exception as error:
        raise UserError(
            f'{name}: its images cannot be listed, {type(error).__name__}: '
            f'{error}'
        ) from error


def _list_images(cfg: dict, name: str) -> None:
    dataset = DATASETS.build({**cfg, 'lazy_init': True, 'pipeline': []})
    if not isinstance(dataset, BaseSegDataset):
        if not len(dataset):  # mmengine's may have other folders
            raise UserError(f'{name} has no image')
        return
    folder = dataset.data_prefix.get('img_path')
    if not folder:
        raise UserError(
            f'{name}.data_prefix.img_path is missing, expected the folder of '
            'the images'
        )
    if not fileio.isdir(folder, backend_args=dataset.backend_args):
        raise MissingFileError(f'{name}: no folder {folder}')
    samples = dataset.load_data_list()
    ending = dataset.img_suffix * 2
    if dataset.ann_file and ending and samples:
        if all(sample['img_path'].endswith(ending) for sample in samples):
            raise UserError(
                f'{name}.ann_file={dataset.ann_file}: the names end in '
                f'{dataset.img_suffix}, expected names without it'
            )
    if not samples:
        raise UserError(
            f'{name} has no image in {folder}, expected files '
            f'*{dataset.img_suffix}'
        )


def require_images_of(cfg: Config, *loaders: str) -> None:
    """Check that a run's datasets have images before building it.

    Args:
        cfg: The run's config.
        loaders: Keys of dataloaders, such as ``val_dataloader``.

    Raises:
        UserError: A dataset has no images.
        MissingFileError: A folder does not exist.
    """
    for loader in loaders:
        if cfg.get(loader):
            require_images(dataset_of(cfg, loader), f'{loader}.dataset')
