# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Records of the weights, data and code a network descends from."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import mmcv
import mmengine
import mmseg
import torch
from mmengine.config import Config

from mmseg_cag.datasets.dataset_configs import (
    hooks_of,
    leaves,
    loaders_of,
)
from mmseg_cag.datasets.licences import (
    IMAGENET,
    PACKAGED,
    data_terms,
    weights_terms,
)
from mmseg_cag.errors import UserError
from mmseg_cag.fileio.checkpoints import checkpoint_hash
from mmseg_cag.fileio.safe_load import read_checkpoint
from mmseg_cag.version import __version__

DESCENT = 'descent'  # in a checkpoint's meta
OF_TARGET = 'statistics of the target'  # purpose of data

Entry = dict[str, str | None]


def entry(
    kind: str,
    name: str,
    licence: str | None,
    sha256: str | None = None,
    used_as: str = '',
) -> Entry:
    """Make a JSON entry for one ancestor of a network.

    Args:
        kind: ``weights``, ``data``, ``code`` or ``run``.
        name: Its name.
        licence: Its licence identifier; None if unknown.
        sha256: Hash of a file; for data, of names and sizes.
        used_as: Its purpose.
    """
    return {
        'kind': kind,
        'name': name,
        'licence': licence,
        'sha256': sha256,
        'used_as': used_as,
    }


def descent_of(cfg: Config, fingerprints: dict[str, dict]) -> list[Entry]:
    """List a run's inputs with their own ancestors.

    Args:
        cfg: The run's config.
        fingerprints: Fingerprints of its training data, by key.
    """
    stated = cfg.get('licences') or {}
    found = [*code(), *_data(cfg, fingerprints)]
    found += _statistics(cfg, found)
    found += _weights(cfg.model, 'model', stated)
    for hook in hooks_of(cfg):
        if anchors := hook.get('init_from'):
            found += inherited(anchors, 'anchors', stated)
    if start := cfg.get('load_from'):
        found += inherited(start, 'start', stated)
    return unique(found)


def data_in(
    dataset: dict | None, used_as: str, stated: dict[str, str] | None
) -> Iterator[Entry]:
    """List the data sets of a config.

    Args:
        dataset: Config of a data set or wrapper.
        used_as: Their purpose.
        stated: ``licences`` of the run's config.
    """
    for _, _, part in leaves(dataset, used_as):
        if part:
            name, licence = data_terms(part, stated or {})
            yield entry('data', name, licence, None, used_as)


def inherited(
    path: str | Path, used_as: str, stated: dict[str, str] | None = None
) -> list[Entry]:
    """List a checkpoint and its recorded ancestors.

    Args:
        path: The file; for a URL or a missing file only the name is listed.
        used_as: Its purpose.
        stated: ``licences`` of the run's config.
    """
    name = Path(path).name
    if not Path(path).is_file():
        licence, saw_imagenet = weights_terms(str(path), stated or {})
        found = [entry('weights', name, licence, None, used_as)]
        return found + [_imagenet(name)] * saw_imagenet
    sha256 = checkpoint_hash(path)
    if carried := read_descent(path):
        return [entry('run', name, None, sha256, used_as), *carried]
    licence, saw_imagenet = weights_terms(str(path), stated or {})
    found = [entry('weights', name, licence, sha256, used_as)]
    return found + [_imagenet(name)] * saw_imagenet


def read_descent(path: str | Path) -> list[Entry]:
    """Read a checkpoint's recorded ancestors; empty if there are none."""
    try:
        meta = read_checkpoint(path, mmap=True).get('meta')
    except UserError:  # plain weights, such as a backbone's
        return []
    return descent_in(meta)


def descent_in(meta: object) -> list[Entry]:
    """Extract the descent from a checkpoint's meta if well formed."""
    found = meta.get(DESCENT) if isinstance(meta, dict) else None
    keys = entry('', '', None).keys()
    return [
        {key: one[key] for key in keys}
        for one in (found if isinstance(found, list) else [])
        if isinstance(one, dict) and one.keys() >= keys
    ]


def unique(entries: list[Entry]) -> list[Entry]:
    """Remove duplicates, keeping the order."""
    seen: dict[tuple, Entry] = {}
    for one in entries:
        seen.setdefault(tuple(one.values()), one)
    return list(seen.values())


def code() -> Iterator[Entry]:
    """List the training code by version; this package by its hash."""
    own = f'mmseg_cag {__version__}'
    yield entry('code', own, 'Apache-2.0', _package_hash())
    for module in (mmcv, mmengine, mmseg):
        name = f'{module.__name__} {module.__version__}'
        yield entry('code', name, 'Apache-2.0')
    yield entry('code', f'torch {torch.__version__}', 'BSD-3-Clause')


@cache
def _package_hash() -> str:
    root = Path(__file__).parents[2]
    digest = hashlib.sha256()
    for path in sorted(root.rglob('*.py')):
        digest.update(f'{path.relative_to(root).as_posix()}\n'.encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _data(cfg: Config, fingerprints: dict[str, dict]) -> Iterator[Entry]:
    loader = cfg.get('train_dataloader') or {}
    # Same keys as the fingerprints.
    for key, domain, part in leaves(loader.get('dataset'), 'train'):
        if not part:
            continue
        name, licence = data_terms(part, cfg.get('licences') or {})
        sha256 = fingerprints.get(key, {}).get('sha256')
        yield entry('data', name, licence, sha256, domain or key)


def _statistics(cfg: Config, listed: list[Entry]) -> Iterator[Entry]:
    """List data that only anchors or norms are computed on."""
    datasets = {}
    if 'anchor_dataloader' in loaders_of(cfg):
        datasets['anchors'] = cfg.anchor_dataloader.dataset
    if any(hook.get('type') == 'NormStatisticsHook' for hook in hooks_of(cfg)):
        datasets[OF_TARGET] = cfg.get('target_dataset')
    known = {(one['name'], one['licence']) for one in listed}
    for used_as, dataset in datasets.items():
        for one in data_in(dataset, used_as, cfg.get('licences')):
            if (one['name'], one['licence']) not in known:
                yield one


def _weights(
    node: object, key: str, stated: dict[str, str]
) -> Iterator[Entry]:
    """Find the weight files named in a model config."""
    if isinstance(node, dict):
        if node.get('pretrained') == 'imagenet':
            name, licence = PACKAGED.get(node.get('type'), ('imagenet', None))
            yield entry('weights', name, licence, None, key)
            yield _imagenet(name)
        for name in ('checkpoint', 'pretrained'):
            path = node.get(name)
            if isinstance(path, str) and path != 'imagenet':
                yield from inherited(path, key, stated)
        children = node.items()
    elif isinstance(node, list | tuple):
        children = enumerate(node)
    else:
        return
    for name, child in children:
        yield from _weights(child, f'{key}.{name}', stated)


def _imagenet(weights: str) -> Entry:
    name, licence = IMAGENET
    return entry('data', name, licence, None, f'pretraining of {weights}')
