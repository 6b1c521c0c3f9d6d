# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Rehearsal: build and try all parts of a run before training."""

from __future__ import annotations

import logging
import os
import random
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import pairwise, zip_longest
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.optim import OptimWrapper
from mmengine.registry import HOOKS, init_default_scope
from mmengine.runner import Runner
from mmengine.runner.checkpoint import CheckpointLoader
from mmseg.registry import METRICS, MODELS, PARAM_SCHEDULERS
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from mmseg_cag.data_check.consistency import check_class_count
from mmseg_cag.datasets import DomainPool, UDADataset
from mmseg_cag.datasets.dataset_configs import (
    LOADERS,
    class_info,
    dataset_of,
    hooks_of,
    leaves,
    loaders_of,
    require_images_of,
)
from mmseg_cag.datasets.inspection.dataset_inputs import dataset_inputs
from mmseg_cag.engine.checks.check_data_hook import (
    check_one_size,
    list_readings,
    stop_at_faults,
)
from mmseg_cag.engine.checks.require_weights import pretrained
from mmseg_cag.engine.loops import total_iters
from mmseg_cag.engine.resilience.signals import SHARED, shared_memory
from mmseg_cag.errors import UserError
from mmseg_cag.fileio.safe_config import load_config
from mmseg_cag.models.renormalise import Renormalise
from mmseg_cag.models.segmentors.base import UDASegmentor
from mmseg_cag.models.teacher import Teacher

THREADS = 16  # threads that read headers
FAULTS = (  # errors that a wrong setting can cause in a class
    ArithmeticError,
    AssertionError,
    AttributeError,
    ImportError,
    LookupError,
    NotImplementedError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)


def rehearse(cfg: Config, roles: Sequence[str], ahead: bool = False) -> None:
    """Build the parts of a run and load its first batches.

    Random states are restored. The network gets a meta tensor of the first
    batch's size, which takes no time and no device. A resumed run was tried
    when it started.

    Args:
        cfg: The run's config, whose settings are checked.
        roles: Roles of the dataloaders to read.
        ahead: Whether to check the data, as the run does at its start.

    Raises:
        UserError: A part cannot be built, does not fit another, or cannot be
            read.
    """
    init_default_scope(cfg.get('default_scope', 'mmseg'))
    keys = [key for key in loaders_of(cfg) if LOADERS[key] in roles]
    require_images_of(cfg, *keys)
    if cfg.get('resume'):
        return
    for key, path in (
        ('load_from', cfg.get('load_from')),
        *pretrained(cfg.model, 'model'),
    ):
        if path and '://' in path:
            with told_by(f'{key}={path}: expected an address that answers'):
                CheckpointLoader.load_checkpoint(path, 'cpu')
    with _same_random_states():
        hooks = []
        for hook in hooks_of(cfg):
            name = f'{hook.get("type")} of the hooks'
            # Some hooks need objects that only a runner creates.
            with told_by(name), suppress(RuntimeError):
                hooks.append((name, HOOKS.build(hook)))
        with told_by('model'):
            network = MODELS.build(cfg.model)
        for name, hook in hooks:
            if 'train' in roles and hasattr(hook, 'check_ahead'):
                with told_by(name):
                    hook.check_ahead(cfg, network)
        loaders = {key: _build_loader(cfg, key) for key in keys}
        _check_classes(cfg, loaders)
        if 'train' in roles:
            _check_pools(network, loaders['train_dataloader'].dataset)
        if ahead:
            datasets = {key: one.dataset for key, one in loaders.items()}
            stop_at_faults(list_readings(datasets), THREADS)
        batches = {key: _first_batch(one, key) for key, one in loaders.items()}
        for key, loader in loaders.items():
            if LOADERS[key] != 'train' and loader.batch_size != 1:
                size = f'{key}.batch_size={loader.batch_size}'
                check_one_size(loader.dataset, size)
        _require_shared_memory(loaders, batches)
        if 'train' in roles:
            _check_teachers(network, loaders)
            _check_normalisation(network, loaders)
            with told_by('optim_wrapper'):
                optim = Runner.build_optim_wrapper(
                    _Holder(network), cfg.optim_wrapper
                )
            _build_schedules(cfg, optim, loaders['train_dataloader'])
            _require_fit(network, batches['train_dataloader'])
        for role in roles:
            metrics = cfg.get(f'{role}_evaluator') or []
            for one in metrics if isinstance(metrics, list) else [metrics]:
                with told_by(f'{role}_evaluator'):
                    METRICS.build(one)


def warn_of_other_data(runs: Sequence[Config]) -> None:
    """Warn if a run starts from one trained on another source.

    Args:
        runs: Configs of a chain, earliest first.
    """
    for earlier, later in pairwise(runs):
        roots = [
            {part.get('data_root') for part in _sources(cfg)}
            for cfg in (earlier, later)
        ]
        # A run without a source inherits the other's source.
        if all(roots) and roots[0].isdisjoint(roots[1]):
            print_log(
                f'start_from={later.start_from}: is trained on the source '
                f'{_list(roots[0])}, this run on {_list(roots[1])}; if that '
                'is not intended, set the other in start_options, too',
                'current',
                logging.WARNING,
            )


def _sources(cfg: Config) -> list[dict]:
    parts = leaves(dataset_of(cfg, 'train_dataloader'), '')
    return [part for _, role, part in parts if part and role in ('', 'source')]


def _list(names: Iterable[str | None]) -> str:
    return ', '.join(map(str, names))


class _Holder:
    """Minimal object with a model, for mmengine's optimizer builder."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model


@contextmanager
def told_by(key: str) -> Iterator[None]:
    """Turn a class's errors into one line that names the key.

    Raises:
        UserError: The class raised an error.
    """
    try:
        yield
    except UserError:
        raise
    except FAULTS as error:
        raise UserError(f'{key}: {_say(error)}') from error


def _say(error: Exception) -> str:
    lines = str(error).strip().splitlines() or ['']
    return f'{type(error).__name__}: {" ".join(x.strip() for x in lines[:3])}'


@contextmanager
def _same_random_states() -> Iterator[None]:
    states = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        yield
    random.setstate(states[0])
    np.random.set_state(states[1])


def _build_loader(cfg: Config, key: str) -> DataLoader:
    with told_by(key):
        return Runner.build_dataloader(cfg[key], seed=0)


def _check_classes(cfg: Config, loaders: dict[str, DataLoader]) -> None:
    """Check that all heads have the same classes as the data."""
    for loader in loaders.values():
        classes = (getattr(loader.dataset, 'metainfo', None) or {}).get(
            'classes'
        )
        for finding in check_class_count(cfg.model, len(classes or ())):
            if classes:
                how = finding.problem.replace('is ', '=', 1)
                raise UserError(f'{finding.where}{how}')


def _check_pools(network: nn.Module, dataset: Dataset) -> None:
    """Check that training heeds a pool's shares and absent classes."""
    for pool, is_drawn_by_shares in _pools(dataset):
        if pool.shares and not is_drawn_by_shares:
            ignored = 'shares'
        elif any(pool.absent) and not isinstance(network, UDASegmentor):
            ignored = 'absent classes'
        else:
            continue
        raise UserError(
            f'train_dataloader.dataset: {ignored} of a DomainPool would be '
            'ignored, expected it as a domain of a UDADataset, with '
            'model.type=SupervisedSegmentor or a method'
        )


def _pools(
    dataset: Dataset, is_drawn: bool = False
) -> Iterator[tuple[DomainPool, bool]]:
    """List the pools in a dataset, and whether their own order draws."""
    if isinstance(dataset, UDADataset):
        parts, is_drawn = dataset.domains.values(), True
    else:
        parts = getattr(dataset, 'datasets', [])
        parts = [dataset.dataset] if hasattr(dataset, 'dataset') else parts
        if isinstance(dataset, DomainPool):
            yield dataset, is_drawn
        is_drawn &= bool(getattr(dataset, 'shares', None))
    for part in parts:
        yield from _pools(part, is_drawn)


def _check_teachers(
    network: nn.Module, loaders: dict[str, DataLoader]
) -> None:
    """Check that fixed teachers have the same class names as the data."""
    dataset = loaders['train_dataloader'].dataset
    wanted = (getattr(dataset, 'metainfo', None) or {}).get('classes', ())
    for part in network.modules():
        if not isinstance(part, Teacher) or not part.is_fixed:
            continue
        found = wanted
        with suppress(UserError):  # plain weights, without class names
            found = class_info(load_config(part.config))['classes']
        for own, other in zip_longest(found, wanted):
            if own != other:
                raise UserError(
                    f'Teacher: config={part.config} has the class {own} where '
                    f'the data have {other}, expected the same classes in the '
                    'same order'
                )


def _check_normalisation(
    network: nn.Module, loaders: dict[str, DataLoader]
) -> None:
    """Check that images a method mixes or converts are normalised alike."""
    dataset = loaders['train_dataloader'].dataset
    roles = {*getattr(network, 'normalised_alike', ())}
    for name, part in network.named_modules():
        if isinstance(part, Teacher) and part.is_fixed:
            only_target = name.startswith('distillation.')
            roles |= {'target'} if only_target else {'source', 'target'}
    for role in sorted(roles & {*getattr(dataset, 'domains', ())}):
        for name in getattr(dataset.domains[role], 'names', [role]):
            _require_alike(network, name, role)


def _require_alike(network: nn.Module, name: str, role: str) -> None:
    preprocessor = network.data_preprocessor
    own = preprocessor.of(name if name in preprocessor.domains else role)
    change = Renormalise(own, preprocessor.of('target'))
    if change.flips or not change.is_same:
        raise UserError(
            f'model.data_preprocessor: {name} is normalised unlike target, '
            'expected the same mean, std and bgr_to_rgb, because '
            f'{type(network).__name__} mixes or converts their images'
        )


def _build_schedules(
    cfg: Config, optim: OptimWrapper, loader: DataLoader
) -> None:
    """Build the schedules of each optimizer, as the runner does."""
    given = cfg.get('param_scheduler') or []
    for name, one in getattr(optim, 'optim_wrappers', {'': optim}).items():
        with told_by('param_scheduler'):
            by_name = isinstance(given, dict) and 'type' not in given
            own = given[name] if by_name else given
            for schedule in own if isinstance(own, list | tuple) else [own]:
                by_epoch = schedule.get('by_epoch', True)
                end = 1 if by_epoch else total_iters(cfg.train_cfg)
                PARAM_SCHEDULERS.build(
                    {'end': end, **schedule},
                    default_args=dict(optimizer=one, epoch_length=len(loader)),
                )


def _first_batch(loader: DataLoader, key: str) -> Any:
    """Load the first batch in this process."""
    chooser = loader.batch_sampler
    with told_by(key):
        items = next(iter(loader.sampler if chooser is None else chooser), [])
    if items == []:
        raise UserError(
            f'{key}: no batch, expected at least as many images as batch_size'
        )
    try:
        return loader.collate_fn([loader.dataset[item] for item in items])
    except (UserError, *FAULTS) as error:
        # Check files first: their errors are specific.
        stop_at_faults(list_readings({key: loader.dataset}), THREADS)
        if isinstance(error, UserError):
            raise
        _tell_step(loader, key)
        raise UserError(f'{key}.dataset: {_say(error)}') from error


def _tell_step(loader: DataLoader, key: str) -> None:
    """Find the failing step of a pipeline.

    Raises:
        UserError: It fails again.
    """
    for reading in dataset_inputs(loader.dataset, f'{key}.dataset', key):
        data = reading.dataset.get_data_info(0)
        for index, step in enumerate(reading.dataset.pipeline.transforms):
            where = f'{reading.key}.pipeline.{index} ({type(step).__name__})'
            try:
                data = step(data)
            except KeyError as error:
                raise UserError(
                    f'{where}: reads {error}, which no earlier step provides'
                ) from error
            except FAULTS as error:
                raise UserError(f'{where}: {_say(error)}') from error


def _require_shared_memory(
    loaders: dict[str, DataLoader], batches: dict[str, Any]
) -> None:
    """Check that all workers' batches fit into shared memory.

    Raises:
        UserError: They do not.
    """
    need = sum(
        loader.num_workers * loader.prefetch_factor * _bytes(batches[key])
        for key, loader in loaders.items()
        if loader.num_workers
    ) * int(os.environ.get('LOCAL_WORLD_SIZE', 1))
    free = shared_memory()
    if free is not None and need > free:
        raise UserError(
            f'{SHARED}: {free >> 20} MiB are free, expected '
            f'{-(-need // 2**20)} MiB for the batches of the worker processes '
            f'of {", ".join(loaders)}; increase it (docker run '
            '--shm-size=8g), or reduce num_workers, to 0 if needed'
        )


def _bytes(node: Any) -> int:
    if isinstance(node, Tensor):
        return node.numel() * node.element_size()
    if hasattr(node, 'all_items'):  # a data sample or part of one
        return sum(_bytes(value) for _, value in node.all_items())
    if isinstance(node, dict):
        node = node.values()
    if isinstance(node, str | bytes) or not hasattr(node, '__iter__'):
        return 0
    if isinstance(node, np.ndarray):
        return 0  # pickled, not shared
    return sum(map(_bytes, node))


def _require_fit(network: nn.Module, batch: Any) -> None:
    """Check that the network accepts a batch of the first one's size.

    Raises:
        UserError: It does not.
    """
    if not hasattr(network, 'extract_feat'):
        return
    with told_by('model.data_preprocessor'):
        inputs = network.data_preprocessor(batch, training=True)['inputs']
    images = [*inputs.values()] if isinstance(inputs, dict) else [inputs]
    network.train().to('meta')
    for shape in {tuple(one.shape) for one in images}:
        try:
            with torch.no_grad():
                network(torch.empty(shape, device='meta'), mode='tensor')
        except NotImplementedError:
            continue  # an operator that needs values
        except FAULTS as error:
            # An error of this device, not of the network.
            if 'meta' in str(error) or 'scalarType' in str(error):
                continue
            few = 'Expected more than 1 value per channel' in str(error)
            hint = (
                f'train_dataloader.batch_size={shape[0]}: a batch norm has '
                'one value per channel, expected 2 or more images'
                if few
                else f'model: a batch {shape} does not pass, {_say(error)}'
            )
            raise UserError(hint) from error
