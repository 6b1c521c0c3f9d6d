# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Provenance of a run: the settings its weights depend on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmseg_cag.datasets.dataset_configs import loaders_of
from mmseg_cag.fileio.safe_load import read_checkpoint

# Keys that affect training; other keys of a config only name or describe.
# Custom hooks are those a user adds through mmengine's list.
PARTS = (
    'model',
    'train_dataloader',
    'anchor_dataloader',
    'train_cfg',
    'optim_wrapper',
    'param_scheduler',
    'default_hooks',
    'custom_hooks',
    'randomness',
    'sync_bn',
    'initialized_from',
    'inputs_sha256',
)
# Keys for how the same data are loaded and when to validate.
IGNORED_KEYS = (
    'cache_dir',
    'workers',
    'num_workers',
    'persistent_workers',
    'prefetch_factor',
    'pin_memory',
    'timeout',
    'val_interval',
    'val_begin',
    'vals_per_stage',
    'saves_per_stage',
)
# Hooks that only observe a run, or that every run has: their settings do not
# affect the weights.
OBSERVER_HOOKS = (
    'AnchorRecordHook',
    'AtomicCheckpointHook',
    'CheckCheckpointHook',
    'CheckDataHook',
    'CheckpointHook',
    'DataFingerprintHook',
    'DiscriminatorHook',
    'DistSamplerSeedHook',
    'DoNoHarmHook',
    'EffectiveBatchHook',
    'IterTimerHook',
    'MallocHook',
    'LogLabelMapHook',
    'ResultSummaryHook',
    'LoggerHook',
    'LossLogHook',
    'MonitorHook',
    'NonFiniteHook',
    'PanelHook',
    'ParamSchedulerHook',
    'CheckRankDataHook',
    'ProvenanceHook',
    'RuntimeInfoHook',
    'SegVisualizationHook',
    'SkippedFilesHook',
    'StopHook',
    'TeacherValidationHook',
    'TranslationPanelHook',
)
ROLES_FILE = 'roles_file'  # in a `RoleSubset`: the text of its file


def provenance_of(cfg: Config) -> dict[str, Any]:
    """Extract the settings the weights depend on, as JSON data.

    Args:
        cfg: The run's config; ``initialized_from`` is its starting checkpoint
            or the provenance of the run that made it, which ``load_from``
            loses when the run is resumed; ``inputs_sha256`` names the outputs
            of other runs used as data and fixed networks.
    """
    provenance = {key: cfg.get(key) for key in PARTS}
    if 'anchor_dataloader' not in loaders_of(cfg):
        provenance.pop('anchor_dataloader')
    scaling = cfg.get('auto_scale_lr') or {}
    # When disabled it is only a record.
    if scaling.get('enable'):
        provenance['auto_scale_lr'] = scaling
    return _as_json(provenance)


def list_changes(old: dict, new: dict, key: str = '') -> list[str]:
    """List each key in which two provenances differ, with both values."""
    changes = []
    for name in sorted(old.keys() | new.keys()):
        path = f'{key}.{name}' if key else name
        changes += _compare(old.get(name), new.get(name), path)
    return changes


def read_provenance(checkpoint: str | Path) -> dict[str, Any] | None:
    """Read the provenance of a checkpoint, if it has one."""
    meta = _read_meta(checkpoint)
    # Version 0.1 called it recipe, with more keys.
    provenance = meta.get('provenance', meta.get('recipe'))
    return _as_json(provenance) if isinstance(provenance, dict) else None


def read_version(checkpoint: str | Path) -> str | None:
    """Read the package version that trained a checkpoint, if recorded."""
    versions = _read_meta(checkpoint).get('versions')
    found = versions.get('mmseg_cag') if isinstance(versions, dict) else None
    return found if isinstance(found, str) else None


def _read_meta(checkpoint: str | Path) -> dict:
    meta = read_checkpoint(checkpoint, mmap=True).get('meta')
    return meta if isinstance(meta, dict) else {}


def _as_json(provenance: dict) -> dict[str, Any]:
    return json.loads(json.dumps(_plain(provenance), default=str))


def _compare(before: Any, after: Any, path: str) -> list[str]:
    if isinstance(before, dict) and isinstance(after, dict):
        return list_changes(before, after, path)
    both = isinstance(before, list) and isinstance(after, list)
    if both and len(before) == len(after):
        pairs = enumerate(zip(before, after, strict=True))
        return [
            change
            for index, (one, other) in pairs
            for change in _compare(one, other, f'{path}.{index}')
        ]
    if before == after:
        return []
    if path.endswith(ROLES_FILE):
        # Older records lack it, and the file may be gone.
        return [f'{path} has changed'] * (None not in (before, after))
    return [f'{path} was {_short(before)}, is {_short(after)}']


def _plain(node: Any) -> Any:
    if isinstance(node, dict):
        plain = {
            key: _plain(value)
            for key, value in node.items()
            if key not in IGNORED_KEYS and not _observes(value)
        }
        roles = node.get('roles') if node.get('type') == 'RoleSubset' else None
        if roles and Path(roles).is_file():
            plain.setdefault(ROLES_FILE, Path(roles).read_text('utf-8'))
        # None, and a list of hooks that only observe, are the same.
        if not plain.get('custom_hooks', True):
            plain['custom_hooks'] = None
        return plain
    if isinstance(node, list | tuple):
        return [_plain(value) for value in node if not _observes(value)]
    return node


def _observes(node: Any) -> bool:
    return isinstance(node, dict) and node.get('type') in OBSERVER_HOOKS


def _short(value: Any, limit: int = 60) -> str:
    text = repr(value)
    return text if len(text) <= limit else f'{text[:limit]}...'
