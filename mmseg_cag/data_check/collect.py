# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Collection of all datasets that a config reads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mmengine.config import Config
from mmseg.datasets import BaseSegDataset
from mmseg.registry import DATASETS

from mmseg_cag.datasets.dataset_configs import (
    LOADERS,
    dataset_of,
    hooks_of,
    leaves,
    loaders_of,
)
from mmseg_cag.datasets.inspection.dataset_inputs import DatasetInput
from mmseg_cag.datasets.inspection.finding import Finding
from mmseg_cag.datasets.roles import ROLES, read_roles
from mmseg_cag.errors import UserError

# The part that images with a role have, whether or not this run reads them.
READ_AS = dict(train='labelled', choose='val', certify='test')


def collect(cfg: Config) -> tuple[list[DatasetInput], list[Finding]]:
    """List the datasets of a run, without repeats, and unreadable ones.

    Keys that read the same files in the same way are merged.

    Args:
        cfg: The run's config.
    """
    readings: dict[str, DatasetInput] = {}
    findings = []
    for key, role, part in (*_places(cfg), *_role_places(cfg)):
        found = _build(key, role, part)
        if isinstance(found, Finding):
            findings.append(found)
            continue
        found.absent = _stated_absent(cfg, key)
        same = readings.setdefault(identity(found), found)
        if same is not found:
            same.again.append(key)
    if not readings and not findings:
        findings.append(
            Finding('broken config', ', '.join(LOADERS), 'names no dataset')
        )
    return list(readings.values()), findings


def _places(cfg: Config) -> Iterator[tuple[str, str, dict | None]]:
    for loader in loaders_of(cfg):
        dataset = dataset_of(cfg, loader)
        key, role = f'{loader}.dataset', LOADERS[loader]
        # The subset, not its dataset, determines the images.
        yield from leaves(dataset, key, role, whole=('RoleSubset',))
    for hook in hooks_of(cfg):
        if hook.get('type') == 'DoNoHarmHook' and hook.get('labelled'):
            key = 'default_hooks.do_no_harm.labelled'
            yield from leaves(
                hook['labelled'], key, 'val', whole=('RoleSubset',)
            )


def _role_places(cfg: Config) -> Iterator[tuple[str, str, dict]]:
    """Yield the roles of the config's file, which a later command may read.

    Their images are found where a loader finds some, or in
    ``target_labelled``.
    """
    subsets = [
        part
        for _, _, part in _places(cfg)
        if part and part.get('type') == 'RoleSubset' and part.get('role')
    ]
    plain = dict(roles=cfg.get('roles'), dataset=cfg.get('target_labelled'))
    one = {**(subsets[-1] if subsets else plain), 'type': 'RoleSubset'}
    one.pop('first', None)
    if not one['roles'] or not one['dataset']:
        return
    try:
        roles = read_roles(one['roles'])
        given = [role for role in ROLES if roles.of(role)]
    except UserError:
        given = ROLES[-1:]  # building it says what is wrong
    for role in given:
        yield f'roles.{role}', READ_AS[role], {**one, 'role': role}


def _build(key: str, role: str, cfg: dict | None) -> DatasetInput | Finding:
    if not cfg:
        return Finding('broken config', key, 'is missing, expected a dataset')
    try:
        dataset = DATASETS.build(
            {**cfg, 'lazy_init': True, 'serialize_data': False}
        )
    except Exception as error:  # a wrong setting can raise anything
        reason = str(error).strip().splitlines() or [type(error).__name__]
        return Finding('broken config', key, reason[-1])
    if not isinstance(dataset, BaseSegDataset):
        name = type(dataset).__name__
        return Finding('not checked', key, f'{name} is of another kind')
    # Target labels are never read, regardless of the pipeline.
    return DatasetInput(
        key, role, dataset, False if role == 'target' else None
    )


def _stated_absent(cfg: Config, key: str) -> tuple[str, ...]:
    """List the classes that the pool of a member says it does not label."""
    pool, _, member = key.rpartition('.members.')
    if not pool:
        return ()
    node = cfg
    for name in pool.split('.'):
        is_list = isinstance(node, list | tuple)
        node = node[int(name)] if is_list else (node or {}).get(name)
    stated = (node or {}).get('absent')
    if not isinstance(stated, dict):
        return ()
    return tuple(stated.get(member.split('.')[0], ()))


def identity(reading: DatasetInput) -> str:
    """Return a key of the files and how they are read."""
    dataset, labels = reading.dataset, reading.labels
    parts: dict[str, Any] = {
        'kind': reading.kind,
        'evaluation': reading.role in ('val', 'test'),
        'target': reading.role == 'target',
        'labels': labels
        and hash(
            (frozenset(labels.train_ids.items()), frozenset(labels.void_ids))
        ),
        'reader': type(labels),
        'classes': reading.classes,
    }
    for name in ('data_prefix', 'ann_file', 'img_suffix', 'seg_map_suffix'):
        parts[name] = getattr(dataset, name, None)  # of another kind
    return repr((parts, dataset._indices))
