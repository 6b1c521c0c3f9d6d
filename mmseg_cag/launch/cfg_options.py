# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Command-line settings: refused if nothing reads them."""

from __future__ import annotations

import ast
import inspect
import re
from argparse import Namespace
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher, get_close_matches
from pathlib import Path
from typing import Any

import mmengine.registry
import mmseg.registry
from mmengine.config import Config, DictAction
from mmengine.registry import Registry
from torch.utils.data import DataLoader

from mmseg_cag.errors import UserError, exit_on_user_error
from mmseg_cag.fileio.safe_config import load_config

FLAG = '--cfg-options'
# Keys that the runner, the launcher or a tool reads. Other names are a
# config's own variables, whose values were copied during parsing.
KEYS = (
    'anchor_dataloader',
    'activation_checkpointing',
    'auto_scale_lr',
    'compile',
    'custom_hooks',
    'custom_imports',
    'data_preprocessor',
    'default_hooks',
    'default_scope',
    'efficient_conv_bn_eval',
    'env_cfg',
    'experiment_name',
    'find_unused_parameters',
    'launcher',
    'load_from',
    'log_level',
    'log_processor',
    'model',
    'model_wrapper_cfg',
    'optim_wrapper',
    'param_scheduler',
    'randomness',
    'resume',
    'start_from',
    'start_options',
    'sync_bn',
    'target_dataset',
    'test_cfg',
    'test_dataloader',
    'test_evaluator',
    'test_pipeline',
    'train_cfg',
    'train_dataloader',
    'translate_dataloader',
    'val_cfg',
    'val_dataloader',
    'val_evaluator',
    'visualizer',
    'work_dir',
)
# Keys of a loop's config (tools/train_bdl.py).
LOOP_KEYS = ('launcher', 'options', 'steps', 'work_dir')
# Keys of a file that a tool reads; no run does.
TOOL_KEYS = ('licences', 'target_labelled')
# Keys allowed in dicts that are not built into a class.
PLAIN = {
    'auto_scale_lr': {'enable', 'base_batch_size'},
    'clip_grad': {'type', 'max_norm', 'norm_type', 'clip_value'},
    'custom_imports': {'imports', 'allow_failed_imports'},
    'data_prefix': {'img_path', 'seg_map_path'},
    'env_cfg': {'cudnn_benchmark', 'mp_cfg', 'dist_cfg', 'resource_limit'},
    'mp_cfg': {'mp_start_method', 'opencv_num_threads'},
    'paramwise_cfg': {
        'bias_decay_mult',
        'bias_lr_mult',
        'bypass_duplicate',
        'custom_keys',
        'dwconv_decay_mult',
        'flat_decay_mult',
        'norm_decay_mult',
    },
    'randomness': {'seed', 'diff_rank_seed', 'deterministic'},
}
# Dicts with arbitrary keys, checked by their reader. Options of the starting
# run are checked against its own config.
FREE = {
    'class_sets',
    'custom_keys',
    'dist_cfg',
    'metainfo',
    'options',
    'start_options',
    'steps',
}
FREE_IN_MODEL = {'train_cfg', 'test_cfg'}
# Keys that a builder accepts in addition to the class's arguments.
BESIDE = {
    'custom_hooks': {'priority'},
    'default_hooks': {'priority'},
    'norm_cfg': {'requires_grad'},
    'optim_wrapper': {'constructor', 'members', 'paramwise_cfg'},
    'param_scheduler': {'convert_to_iter_based'},
}
# Keys that mmengine adds if a config lacks them; None leaves them to it.
STOCK_HOOKS = {
    'checkpoint',
    'logger',
    'param_scheduler',
    'runtime_info',
    'sampler_seed',
    'timer',
}


def load_or_exit(path: str) -> Config:
    """Load a config file, or exit with a one-line error."""
    if not Path(path).is_file():
        raise SystemExit(f'error: {path}: config file not found')
    with exit_on_user_error():
        cfg = load_config(path)
        require_read(cfg, path)
        return cfg


def require_read(cfg: Config, path: str) -> None:
    """Check that a file sets no variable that its base has used already.

    Args:
        cfg: The config.
        path: Its file.

    Raises:
        UserError: It sets one again, and nothing reads the new value.
    """
    if Path(path).suffix != '.py':
        return
    tree = ast.parse(Path(path).read_text(encoding='utf-8'))
    names = [node for node in ast.walk(tree) if isinstance(node, ast.Name)]
    used = {node.id for node in names if isinstance(node.ctx, ast.Load)}
    used |= {'_base_', *KEYS, *LOOP_KEYS, *TOOL_KEYS}
    for name in [node.id for node in names if node.id not in used]:
        # The text has all base files.
        if len(re.findall(rf'^{name} *=', cfg.text, re.M)) > 1:
            raise UserError(
                f'{path}: nothing reads its {name}, the base file has already '
                'used its own; set it there, or set what it is for'
            )


def merge_or_exit(cfg: Config, words: Sequence[str] | None) -> None:
    """Merge command-line settings; exit at a wrong one.

    Args:
        cfg: The config, changed in place.
        words: Settings as typed, ``key.of.config=value``.
    """
    with exit_on_user_error():
        merge_options(cfg, parse_options(words or ()))


def parse_options(words: Sequence[str]) -> dict[str, Any]:
    """Parse ``key.of.config=value`` with mmengine's value syntax.

    Raises:
        UserError: A setting has another form.
    """
    found = Namespace(options={})
    for word in words:
        key, sign, _ = word.partition('=')
        if not (sign and all(key.split('.'))):
            raise UserError(f'{FLAG} {word}: expected key.of.config=value')
        try:
            DictAction([FLAG], 'options')(None, found, [word])
        except AssertionError as error:  # brackets that are not closed
            raise UserError(f'{FLAG} {word}: {error}') from error
    return found.options


def merge_options(cfg: Config, options: dict, key: str = FLAG) -> None:
    """Merge settings into a config.

    A hook set to None is removed.

    Args:
        cfg: The config, changed in place.
        options: Values by path, such as ``train_cfg.max_iters``.
        key: Origin of the options, for errors.

    Raises:
        UserError: Nothing reads an option.
    """
    given = dict(_flatten(options))
    for path in given:
        _take_out_none(cfg._cfg_dict, path)
    for path in given:
        _require_read(cfg, path, given, key)
    cfg.merge_from_dict(options)
    hooks = cfg.get('default_hooks') or {}
    for name in [n for n, hook in hooks.items() if hook is None]:
        if name not in STOCK_HOOKS:
            hooks.pop(name)


def _take_out_none(node: Any, path: str) -> None:
    """Replace None with a dict where a typed part is set."""
    parent, _, name = path.removesuffix('.type').rpartition('.')
    for part in filter(None, parent.split('.')):
        node = node.get(part) if isinstance(node, dict) else None
    if path.endswith('.type') and isinstance(node, dict):
        if node.get(name, {}) is None:
            del node[name]


def _flatten(options: dict, above: str = '') -> Iterator[tuple[str, Any]]:
    """Yield all set paths, including those inside dicts."""
    for name, value in options.items():
        path = f'{above}.{name}' if above else name
        if isinstance(value, dict) and value and '_delete_' not in value:
            yield from _flatten(value, path)
        else:
            yield path, value


def _require_read(cfg: Config, path: str, options: dict, key: str) -> None:
    node, parts = cfg._cfg_dict, path.split('.')
    for depth, part in enumerate(parts):
        above = parts[:depth]
        given = options.get('.'.join([*above, 'type']))
        if isinstance(node, dict):
            known = _known(node, above, given)
            if known is None:
                return
            # Where part names are free, a new part must have a type.
            named = above and 'type' not in node
            is_new = '.'.join([*above, part, 'type']) in options
            if part not in known and not (named and is_new):
                _refuse(cfg, path, depth, known, key)
            if part not in node and 'type' in node:
                return  # an argument, checked by its class
            node = node.get(part, {})
        elif isinstance(node, list | tuple):
            if not (part.isdigit() and int(part) < len(node)):
                raise UserError(
                    f'{key} {path}: {".".join(above)} has the parts 0 to '
                    f'{len(node) - 1}, not {part}'
                )
            node = node[int(part)]
        else:
            raise UserError(
                f'{key} {path}: {".".join(above)} is {node!r}, which has no '
                'settings'
            )


def _known(node: dict, above: list[str], kind: str | None) -> set[str] | None:
    if above:
        names = readable(node, above, kind)
        return None if names is None else {*node, *names}
    return readable(node, above, kind)


def readable(
    node: dict, above: Sequence[str], kind: str | None = None
) -> set[str] | None:
    """List the keys that are read of a config part; None for any.

    Args:
        node: The part.
        above: Its path.
        kind: Its type, if the settings change it.
    """
    if not above:
        if 'steps' in node:
            return {*LOOP_KEYS}
        known = {*KEYS}
        if _trains_on_target(node):
            # The training target is what is read.
            known.remove('target_dataset')
        return known
    name, root = above[-1], above[0]
    if name in FREE or (root == 'model' and name in FREE_IN_MODEL):
        return None
    if any(part in FREE for part in above):
        return None
    beside = {'type', '_delete_', *BESIDE.get(name, ())}
    if len(above) > 1 and not (root == 'optim_wrapper' and len(above) > 3):
        beside |= BESIDE.get(root, set())
    kind = kind or node.get('type')
    if kind:
        arguments = _arguments(kind)
        if arguments is None:
            return None
        # An `HRDAHead` passes arguments on to its inner head.
        within = node.get('head')
        named = _arguments(within) if isinstance(within, str) else None
        return {*arguments, *(named or ()), *beside}
    if len(above) == 1 and root.endswith('_dataloader'):
        loader = inspect.signature(DataLoader.__init__).parameters
        return {*loader, 'num_batch_per_epoch'} - {'self'}
    if root == 'optim_wrapper':
        beside |= {'optimizer', 'clip_grad', 'accumulative_counts'}
    return {*PLAIN.get(name, ()), *beside}


def _trains_on_target(cfg: dict) -> bool:
    dataset = (cfg.get('train_dataloader') or {}).get('dataset') or {}
    return dataset.get('type') == 'UDADataset'


def registries() -> list[Registry]:
    """List the registries of mmseg and mmengine."""
    return [
        value
        for module in (mmseg.registry, mmengine.registry)
        for value in vars(module).values()
        if isinstance(value, Registry)
    ]


def classes_of(kind: Any) -> tuple[Any, ...]:
    """Find all classes of a name in the registries."""
    if not isinstance(kind, str):
        return (kind,)
    found = {one.module_dict.get(kind): None for one in registries()}
    if found.keys() == {None}:  # not imported yet, or from another scope
        found = {one.get(kind): None for one in registries()}
    return tuple(one for one in found if one is not None)


def _arguments(kind: Any) -> set[str] | None:
    """List the arguments of a name's classes; None for any."""
    classes = classes_of(kind)
    names: set[str] = set()
    for one in classes:
        taken = _signature(one)
        if taken is None:
            return None
        names |= taken
    return names if classes else None


def _signature(target: Any) -> set[str] | None:
    """Collect a class's arguments, including parents' if it forwards."""
    if not inspect.isclass(target):
        makers = [target]
    else:
        makers = [
            parent.__init__
            for parent in target.__mro__
            if '__init__' in vars(parent)
        ]
    names: set[str] = set()
    for maker in makers:
        parameters = inspect.signature(maker).parameters.values()
        names |= {
            p.name
            for p in parameters
            if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
        }
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            return names - {'self'}
    return None


def _refuse(
    cfg: Config, path: str, depth: int, known: set[str], key: str
) -> None:
    """Refuse a path and suggest the nearest valid one.

    Raises:
        UserError: Always.
    """
    parts, paths = path.split('.'), [*_paths(cfg._cfg_dict)]
    is_there = path in paths
    read = _known(cfg._cfg_dict, [], None)
    near = get_close_matches(parts[depth], sorted(known), 1, 0.7)
    # The name of a config variable is not a typo.
    if near and parts[0] not in cfg or near and depth:
        nearest = '.'.join([*parts[:depth], near[0], *parts[depth + 1 :]])
    else:
        paths = [p for p in paths if p.split('.')[0] in read]
        same = [p for p in paths if p.split('.')[-1] == parts[-1]]
        nearest = max(
            same or paths or sorted(known),
            key=lambda other: _likeness(path, other),
        )
    if is_there:
        raise UserError(
            f'{key} {path}: nothing reads it, the nearest is {nearest}'
        )
    raise UserError(f'{key} {path}: is not known, the nearest is {nearest}')


def _likeness(one: str, other: str) -> tuple[float, float]:
    """Compare two paths by words, and by letters without common words."""
    words, others = ({*re.split(r'[._]', path)} for path in (one, other))
    if shared := len(words & others) / len(words | others):
        return shared, 0.0
    return 0.0, SequenceMatcher(None, one, other).ratio()


def _paths(node: Any, above: str = '') -> Iterator[str]:
    """Yield the paths of all settings."""
    if isinstance(node, dict):
        pairs = node.items()
    elif isinstance(node, list | tuple):
        pairs = enumerate(node)
    else:
        return
    for name, value in pairs:
        path = f'{above}.{name}' if above else str(name)
        yield path
        yield from _paths(value, path)
