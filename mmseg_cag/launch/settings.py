# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Checks of a run's settings against the types and ranges expected."""

from __future__ import annotations

import inspect
import logging
import numbers
import os
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from mmengine.config import Config

from mmseg_cag.datasets.dataset_configs import (
    LOADERS,
    dataset_of,
    leaves,
    loaders_of,
)
from mmseg_cag.engine.checks.require_crops import crop_of
from mmseg_cag.engine.loops import require_positive, total_iters
from mmseg_cag.errors import UserError
from mmseg_cag.models.masking import MODES, require_halves
from mmseg_cag.models.segmentors.base import UDASegmentor

from .cfg_options import (
    FREE,
    FREE_IN_MODEL,
    classes_of,
    readable,
    registries,
)

# Minimum of integers, single or in lists; -1 stands for never or all.
WHOLE = {
    'accumulative_counts': 1,
    'base_batch_size': 1,
    'batch_size': 1,
    'crop_size': 1,
    'first_stage': 1,
    'interval': -1,
    'LoggerHook.interval': 1,
    'StopHook.interval': 1,
    'max_iters': 1,
    'max_keep_ckpts': -1,
    'num_workers': 0,
    'prefetch_factor': 1,
    'saves_per_stage': 1,
    'seed': 0,
    'stage_iters': 1,
    'stages': 1,
    'stride': 1,
    'val_begin': 1,
    'val_interval': 1,
    'vals_per_stage': 1,
}
# Ranges of other numbers, single or in lists.
NUMBERS = {
    'cat_max_ratio': (0, 1),
    'dropout_ratio': (-1, 1),  # mmseg's configs use -1 for none
    'loss_weight': (0, None),
    'lr': (0, None),
    'momentum': (0, 1),
    'prob': (0, 1),
    'timeout': (0, None),
    'weight_decay': (0, None),
}
PARTS = ('model', 'train_cfg', 'optim_wrapper', 'train_dataloader')
# The loops take no None for them.
VALIDATIONS = ('val_begin', 'val_interval', 'vals_per_stage')
NEAR = 0.8  # difflib ratio that counts as a typo
# torch's annotations of these cannot be resolved at run time.
LOADER = dict(drop_last=bool, pin_memory=bool, persistent_workers=bool)
ENDLESS = ('InfiniteSampler', 'UDASampler')
HEADS = ('decode_head', 'auxiliary_head')
# Results of mmseg's metric for each of its iou_metrics.
RESULTS = {
    'mIoU': {'aAcc', 'mIoU', 'mAcc'},
    'mDice': {'aAcc', 'mDice', 'mAcc'},
    'mFscore': {'aAcc', 'mFscore', 'mPrecision', 'mRecall'},
}
# More of them by `OpenSetIoUMetric`.
OPEN_SET = {'known_mIoU', 'unknown_IoU', 'H'}
WORDS = {int: 'a whole number', float: 'a number', str: 'a text'}
WORDS |= {bool: 'True or False', numbers.Number: 'a number'}


def require_parts(cfg: Config, name: str) -> None:
    """Check that a config is that of a whole run.

    Args:
        cfg: The run's config.
        name: Its file, for the error.

    Raises:
        UserError: It lists the steps of a loop, or lacks a part.
    """
    if cfg.get('steps'):
        raise UserError(
            f'{name}: lists the steps of a loop, expected the config of one '
            'run; tools/train_bdl.py runs a loop'
        )
    for key in PARTS:
        if not isinstance(cfg.get(key), dict):
            raise UserError(
                f'{name}: {key} is missing, expected the config of a whole '
                f'run, with {", ".join(PARTS)}'
            )


def check_settings(cfg: Config) -> None:
    """Check all settings of a run before building anything.

    Finds unknown arguments, values that contradict annotations, numbers out of
    range and inconsistent settings.

    Args:
        cfg: The run's config.

    Raises:
        UserError: A setting is wrong; names its key and what was expected.
    """
    _check_lora(cfg.get('model') or {})
    # Skip unread keys; report copies at their first location.
    read = readable(cfg._cfg_dict, ()) or ()
    for key in sorted(read & cfg.keys(), key=lambda k: (k not in LOADERS, k)):
        for path, node in _dicts(cfg[key], (key,)):
            _check_part(path, node)
    _check_outer(cfg)
    for key in (key for key in LOADERS if cfg.get(key)):
        _check_loader(cfg, key)
    _check_anchors(cfg)
    if cfg.get('model'):
        _check_network(cfg.model)
    for part in ('val', 'test'):
        _check_evaluator(cfg, part)


def _dicts(
    node: Any, path: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], dict]]:
    """Yield the dicts of a config that have fixed keys."""
    if path[-1] in FREE:
        return
    if isinstance(node, dict):
        yield path, node
        children = node.items()
    elif isinstance(node, list | tuple):
        children = enumerate(node)
    else:
        return
    for name, child in children:
        yield from _dicts(child, (*path, str(name)))


def _check_part(path: tuple[str, ...], node: dict) -> None:
    key, kind = '.'.join(path), node.get('type')
    own = path[-1] != 'clip_grad' and '.' not in str(kind)
    if kind and own and not classes_of(kind):
        # Without a similar name another library may build it.
        for near in get_close_matches(str(kind), _registered(), 1, NEAR):
            raise UserError(
                f'{key}.type={kind!r}: is not known, the nearest is {near}'
            )
    free = path[0] == 'model' and path[-1] in FREE_IN_MODEL
    known = set() if free else readable(node, path)
    is_open = known is None or kind and _passes_on(kind)
    known = _named(kind) if known is None else known
    typed = kind or path[-1] in LOADERS
    hints = _hints(kind) if kind else LOADER if typed else {}
    for name, value in node.items():
        if typed and known and name not in known:
            # Other forwarded arguments are checked by their receiver.
            least = 0.85 if is_open else 0
            names = sorted(known - {'type', '_delete_'})
            for near in get_close_matches(name, names, 1, least):
                raise UserError(
                    f'{key}.{name}: {kind or "a dataloader"} does not take '
                    f'it, the nearest is {near}'
                )
        for one in value if isinstance(value, list | tuple) else [value]:
            if expected := _beyond(name, one, kind):
                raise UserError(f'{key}.{name}={value!r}, expected {expected}')
        if name in hints and not _fits(value, hints[name]):
            words = _describe(hints[name])
            raise UserError(f'{key}.{name}={value!r}, expected {words}')


def _passes_on(kind: Any) -> bool:
    """Return whether a class accepts arbitrary keyword arguments."""
    return any(
        parameter.kind is parameter.VAR_KEYWORD
        for one in classes_of(kind)
        for parameter in inspect.signature(one).parameters.values()
    )


def _named(kind: Any) -> set[str]:
    """List the named arguments of a class and its parents."""
    makers = [
        parent.__init__
        for one in classes_of(kind)
        for parent in (one.__mro__ if inspect.isclass(one) else ())
        if '__init__' in vars(parent) and parent is not object
    ]
    taken = {n for m in makers for n in inspect.signature(m).parameters}
    return taken and {*taken, 'type', 'priority', '_delete_'}


def _registered() -> list[str]:
    return [name for one in registries() for name in one.module_dict]


def _beyond(name: str, value: Any, kind: Any) -> str:
    """Describe the expected range of a number; empty if it fits."""
    if value is None or isinstance(value, dict):
        return ''
    least = WHOLE.get(f'{kind}.{name}', WHOLE.get(name))
    if least is not None:
        is_whole = isinstance(value, int) and not isinstance(value, bool)
        if not is_whole or value < least:
            return f'a whole number from {least}'
    if name in NUMBERS:
        low, high = NUMBERS[name]
        ends = f'from {low}' + ('' if high is None else f' to {high}')
        if not isinstance(value, int | float) or not low <= value <= (
            value if high is None else high
        ):
            return f'a number {ends}'
    return ''


def _hints(kind: Any) -> dict[str, Any]:
    """Read the type annotations of a class's arguments."""
    found = classes_of(kind)
    if len(found) != 1:
        return {}
    owners = found[0].__mro__ if inspect.isclass(found[0]) else ()
    hints: dict[str, Any] = {}
    for maker in [o.__init__ for o in owners if '__init__' in vars(o)]:
        try:
            hints = {**get_type_hints(maker), **hints}
        except Exception:  # names missing in its module
            break
        kinds = {p.kind for p in inspect.signature(maker).parameters.values()}
        if inspect.Parameter.VAR_KEYWORD not in kinds:
            break
    return hints


def _fits(value: Any, hint: Any) -> bool:
    """Return whether a config value fits an annotated type."""
    origin, parts = get_origin(hint) or hint, get_args(hint)
    if value is None or origin is Any:
        return True
    if origin in (Union, UnionType):
        return any(_fits(value, part) for part in parts)
    if origin is Literal:
        return value in parts
    if not isinstance(origin, type):
        return True
    if origin is bool:
        return isinstance(value, int) and value in (0, 1)
    if origin is int:
        return isinstance(value, int)
    if origin is str:  # or a number, which some annotations omit
        return not isinstance(value, list | tuple | dict)
    if origin in (float, numbers.Number):
        return isinstance(value, int | float)
    if issubclass(origin, Mapping):  # or several
        return isinstance(value, Mapping | list | tuple)
    if not issubclass(origin, Sequence):
        return True
    if not isinstance(value, list | tuple):
        return False
    if origin is tuple and parts and Ellipsis not in parts:
        return len(value) == len(parts) and all(map(_fits, value, parts))
    return not parts or all(_fits(one, parts[0]) for one in value)


def _describe(hint: Any) -> str:
    origin, parts = get_origin(hint) or hint, get_args(hint)
    if origin in (Union, UnionType):
        words = [_describe(part) for part in parts if part is not type(None)]
        return ' or '.join(dict.fromkeys(words))
    if origin is Literal:
        return ' or '.join(map(repr, parts))
    if origin in WORDS:
        return WORDS[origin]
    if isinstance(origin, type) and issubclass(origin, Sequence):
        count = f'{len(parts)} parts, ' if origin is tuple and parts else ''
        count = '' if Ellipsis in parts else count
        of = f', each {_describe(parts[0])}' if parts else ''
        return f'a list in brackets ({count.rstrip(", ") or "any"}{of})'
    return getattr(origin, '__name__', str(origin))


def _check_outer(cfg: Config) -> None:
    """Check settings outside any class."""
    hooks = cfg.get('custom_hooks') or []
    if not isinstance(hooks, list | tuple):
        raise UserError('custom_hooks: expected a list, [dict(type=...), ...]')
    level = cfg.get('log_level', 'INFO')
    if not isinstance(level, int) and level not in logging._nameToLevel:
        names = ', '.join(logging._nameToLevel)
        raise UserError(f'log_level={level!r}, expected one of {names}')
    loop = cfg.get('train_cfg') or {}
    require_positive(**{k: loop[k] for k in VALIDATIONS if k in loop})
    begin = loop.get('val_begin', 1)
    if begin > 1 and begin > (total := total_iters(cfg.train_cfg)):
        raise UserError(
            f'train_cfg.val_begin={begin}: no validation would follow, '
            f'expected at most the {total} iterations of the run'
        )


def _check_loader(cfg: Config, key: str) -> None:
    loader = cfg[key]
    parts = [*leaves(dataset_of(cfg, key), f'{key}.dataset')]
    if not loader.get('num_workers'):
        for name in ('prefetch_factor', 'timeout'):
            if loader.get(name):
                raise UserError(
                    f'{key}.{name}={loader[name]}: only for worker processes, '
                    f'expected {key}.num_workers from 1, or {name}=None'
                )
        if loader.pop('persistent_workers', None):
            logging.getLogger('mmengine').warning(
                f'{key}.persistent_workers is ignored: num_workers is 0'
            )
    dataset = loader.get('dataset') or {}
    sampler = (loader.get('sampler') or {}).get('type')
    if LOADERS[key] == 'train':
        domains = dataset.get('type') == 'UDADataset'
        if sampler and domains != (sampler == 'UDASampler'):
            raise UserError(
                f'{key}.sampler.type={sampler}: does not fit '
                f'{dataset.get("type")}, expected '
                + ('UDASampler' if domains else 'another, InfiniteSampler')
            )
    elif sampler in ENDLESS:
        raise UserError(
            f'{key}.sampler.type={sampler}: infinite, expected DefaultSampler'
        )
    padding = (cfg.get('model') or {}).get('data_preprocessor') or {}
    masking = (cfg.get('model') or {}).get('masking') or {}
    if LOADERS[key] == 'train' and masking.get('mode') in MODES:
        require_halves(masking['mode'], loader.get('batch_size', 1))
    labelled = dataset.get('labelled', ('source',))
    for where, domain, part in parts:
        part = part or {}
        if LOADERS[key] == 'train':
            own = (padding.get('domains') or {}).get(domain)
            size = (own or padding.get('default') or padding).get('size')
            crop = crop_of(part.get('pipeline') or []) or (0, 0)
            if size and any(c > s for c, s in zip(crop, size, strict=True)):
                raise UserError(
                    f'model.data_preprocessor.size={tuple(size)}: batches are '
                    f'padded to it, but {where} crops to {crop}; expected the '
                    'same'
                )
        names = (part.get('metainfo') or {}).get('classes')
        if isinstance(names, str) and not Path(names).is_file():
            raise UserError(
                f'{where}.metainfo.classes={names!r}, expected a list of '
                f'names; for one name write [{names!r}]'
            )
        for index, step in enumerate(part.get('pipeline') or []):
            if not isinstance(step, dict):
                continue
            _check_zero_label(part, step, f'{where}.pipeline.{index}')
            if step.get('type') == 'FindThings':
                _check_things(cfg.model, step, f'{where}.pipeline.{index}')
            ratio = step.get('cat_max_ratio') or 1
            if domain and domain not in labelled and ratio < 1:
                raise UserError(
                    f'{where}.pipeline.{index}.cat_max_ratio={ratio}: needs '
                    f'labels, but {domain} has none; expected 1'
                )


def _check_anchors(cfg: Config) -> None:
    """Check that anchors are not of a source that training leaves out."""
    loader = cfg.get('anchor_dataloader')
    if not loader or 'anchor_dataloader' not in loaders_of(cfg):
        return
    dataset = (cfg.get('train_dataloader') or {}).get('dataset') or {}
    labelled = dataset.get('labelled', ('source',))
    pools = [(dataset.get('domains') or {}).get(name) for name in labelled]
    left_out = [
        name
        for pool in pools
        for name, part in ((pool or {}).get('members') or {}).items()
        if not part
    ]
    trained = [
        _folder_of(part)
        for _, domain, part in leaves(dataset, 'train_dataloader.dataset')
        if domain in labelled
    ]
    for key, _, part in leaves(
        loader.get('dataset'), 'anchor_dataloader.dataset'
    ):
        if left_out and _folder_of(part) not in trained:
            expected = 'labelled images of train_dataloader'
            if '.members.' in key:
                expected = f'{key}=None, too'
            raise UserError(
                f'{key}: anchors of {_folder_of(part)}, but members.'
                f'{left_out[0]}=None leaves it out of training; expected '
                f'{expected}'
            )


def _folder_of(part: dict | None) -> str:
    """Return the folder of a dataset's images."""
    part = part or {}
    images = (part.get('data_prefix') or {}).get('img_path') or ''
    return os.path.normpath(os.path.join(part.get('data_root') or '', images))


def _check_zero_label(part: dict, step: dict, key: str) -> None:
    """Check that a dataset and its loading transform agree on id 0."""
    name, own = 'reduce_zero_label', False
    for one in classes_of(part.get('type')):
        if parameter := inspect.signature(one).parameters.get(name):
            own = parameter.default
    own = part.get(name, own)
    if step.get(name) not in (None, own):
        raise UserError(
            f'{key}.reduce_zero_label={step[name]}: the dataset has {own}, '
            'expected the same in both'
        )


def _check_things(model: dict, step: dict, key: str) -> None:
    """Check that a `FindThings` misses no class of the feature distance."""
    distance = model.get('feature_distance')
    if not distance:
        return
    things = distance.get('things')
    named = range(model.decode_head.num_classes) if things is None else things
    found = step.get('things') or ()
    if missed := sorted({*named} - {*found}):
        raise UserError(
            f'model.feature_distance.things={things}: {key}.things={found} '
            f'lacks {", ".join(map(str, missed))}, expected them in both'
        )


def _check_lora(model: dict) -> None:
    """Check that only encoders with attention get low-rank updates."""
    for path, node in _dicts(model, ('model',)):
        kind = node.get('type')
        if kind and node.get('lora') and 'lora' not in _named(kind):
            takers = [n for n in _registered() if 'lora' in _named(n)]
            raise UserError(
                f'{".".join(path)}.lora: {kind} has no attention that it '
                f'updates, expected one of {", ".join(sorted({*takers}))}'
            )


def _check_network(model: dict) -> None:
    """Check a network's heads, class weights and sliding windows."""
    test = model.get('test_cfg') or {}
    mode = test.get('mode', 'whole')
    if not str(mode).startswith(('whole', 'slide')):  # or a custom mode
        raise UserError(
            f"model.test_cfg.mode={mode!r}, expected 'whole' or 'slide'"
        )
    for name in ('crop_size', 'stride') if mode == 'slide' else ():
        size = test.get(name)
        if not isinstance(size, list | tuple) or len(size) != 2:
            raise UserError(
                f'model.test_cfg.{name}={size!r}, expected (height, width), '
                "as for mode='slide'"
            )
    first = model.get('decode_head')
    last = first[-1] if isinstance(first, list | tuple) else first
    classes = (last or {}).get('num_classes')
    for path, node in _dicts(model, ('model',)):
        key, own = '.'.join(path), node.get('num_classes', classes)
        binary = path[-1] in HEADS and _compares_two(model)
        if own == 1 and 'num_classes' in node and not binary:
            raise UserError(
                f'{key}.num_classes=1, expected 2 or more; a binary network '
                'has 2 classes, foreground and background (with '
                'out_channels=1 for one sigmoid output)'
            )
        head = [i for i, name in enumerate(path) if name in HEADS]
        if head:
            above = model
            for name in path[1 : head[-1] + 1]:
                above = above[int(name) if name.isdigit() else name]
            if isinstance(above, list | tuple):
                above = above[int(path[head[-1] + 1])] if above else {}
            own = above.get('num_classes', classes)
        weights = node.get('class_weight')
        if 'cls' in node.get('loss_name', ''):  # of masks, not pixels
            continue
        if isinstance(weights, list | tuple) and (
            own
            and len(weights) not in (own, own + 1)
            or not all(isinstance(w, int | float) for w in weights)
        ):
            raise UserError(
                f'{key}.class_weight={list(weights)}, expected one number for '
                f'each of the {own} classes'
            )


def _compares_two(model: dict) -> bool:
    """Return whether a model treats one sigmoid as two classes."""
    return any(
        inspect.isclass(one) and issubclass(one, UDASegmentor)
        for one in classes_of(model.get('type'))
    )


def _check_evaluator(cfg: Config, part: str) -> None:
    """Check the metrics, and that save_best is one of them."""
    keys = [f'{part}_{name}' for name in ('dataloader', 'cfg', 'evaluator')]
    missing = [key for key in keys if not cfg.get(key)]
    if missing and len(missing) < 3:
        raise UserError(
            f'{missing[0]} is missing, expected it together with '
            f'{" and ".join(key for key in keys if key not in missing)}'
        )
    if missing:
        return
    metrics = cfg[keys[2]]
    metrics = metrics if isinstance(metrics, list | tuple) else [metrics]
    results: set[str] = set()
    for metric in metrics:
        chosen = metric.get('iou_metrics', ['mIoU'])
        chosen = [chosen] if isinstance(chosen, str) else chosen
        if not str(metric.get('type')).endswith('IoUMetric'):
            return  # a custom metric with unknown results
        for name in chosen:
            if name not in RESULTS:
                raise UserError(
                    f'{keys[2]}.iou_metrics={chosen}, expected some of '
                    f'{", ".join(RESULTS)}'
                )
        if not metric.get('format_only'):
            results |= set().union(*(RESULTS[name] for name in chosen))
            results |= {*(metric.get('class_sets') or {})}
            if metric['type'] == 'OpenSetIoUMetric':
                results |= OPEN_SET
    saver = (cfg.get('default_hooks') or {}).get('checkpoint') or {}
    best = saver.get('save_best')
    for name in [best] if isinstance(best, str) else best or []:
        name_is_result = {name, name.rpartition('/')[2]} & {*results, 'auto'}
        if part == 'val' and not name_is_result and '.' not in name:
            raise UserError(
                f'default_hooks.checkpoint.save_best={name!r}: '
                f'{keys[2]} gives {", ".join(sorted(results)) or "none"}; '
                'expected one of them, or None'
            )
