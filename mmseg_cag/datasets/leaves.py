# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from collections.abc import Iterator

from mmseg_cag.errors import UserError


def dataset_of(cfg: dict, loader: str) -> dict | None:
    """Find the config of a dataloader's data set.

    Raises:
        UserError: The dataloader's is no config.
    """
    if not isinstance(cfg[loader], dict):
        raise UserError(f'{loader}: expected the config of a dataloader')
    return cfg[loader].get('dataset')


def leaves(
    cfg: dict | None, key: str, role: str = ''
) -> Iterator[tuple[str, str, dict | None]]:
    """Key, role and config of each data set within wrappers.

    Args:
        cfg: Config of a data set, of a wrapper or of `UDADataset`.
        key: Its place in the whole config.
        role: Its role in the run; the domains of `UDADataset` have theirs.

    Raises:
        UserError: A part is no config.
    """
    cfg = cfg or {}
    if not isinstance(cfg, dict):
        raise UserError(f'{key}: expected the config of a data set')
    if cfg.get('type') == 'UDADataset':
        for domain in ('source', 'target'):
            yield from leaves(cfg.get(domain), f'{key}.{domain}', domain)
    elif 'dataset' in cfg:
        yield from leaves(cfg['dataset'], f'{key}.dataset', role)
    elif isinstance(cfg.get('datasets'), list | tuple):
        for index, part in enumerate(cfg['datasets']):
            yield from leaves(part, f'{key}.datasets.{index}', role)
    else:
        yield key, role, cfg or None
