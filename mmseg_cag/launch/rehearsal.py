# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""The parts of a run, built and tried once before any run is trained."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import HOOKS, init_default_scope
from mmengine.runner import Runner
from mmseg.registry import METRICS, MODELS
from torch import Tensor, nn
from torch.utils.data import DataLoader

from mmseg_cag.data_check.consistency import check_class_count
from mmseg_cag.datasets.dataset_configs import (
    LOADERS,
    hooks_of,
    loaders_of,
    require_images_of,
)
from mmseg_cag.datasets.inspection.reading import readings_of
from mmseg_cag.engine.checks.check_data_hook import check_ahead
from mmseg_cag.engine.resilience.signals import SHARED, shared_memory
from mmseg_cag.errors import UserError

SIZES = 16  # different ones of the images of a loader that are compared
FAULTS = (  # of a wrong setting, in whatever class meets it
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


def rehearse(cfg: Config, parts: tuple[str, ...] = ('train', 'val')) -> None:
    """Build what a run consists of, and load the first batches.

    Random states are left as they were. The network sees a batch of the size
    of the first one, without values: in no time, and on no device.

    Args:
        cfg: The run's config, whose settings are checked.
        parts: Roles of dataloaders that are read now; with training go those
            that it reads besides.

    Raises:
        UserError: A part cannot be built, or does not fit another.
    """
    init_default_scope(cfg.get('default_scope', 'mmseg'))
    keys = [key for key in loaders_of(cfg) if LOADERS[key] in parts]
    if 'train' in parts and 'anchor_dataloader' in loaders_of(cfg):
        keys.append('anchor_dataloader')
    require_images_of(cfg, *keys)
    with _same_random_states():
        for name, hook in enumerate(hooks_of(cfg)):
            with told_by(f'hook {hook.get("type", name)}'):
                HOOKS.build(hook)
        with told_by('model'):
            network = MODELS.build(cfg.model)
        loaders = {key: _build_loader(cfg, key) for key in keys}
        check_ahead(cfg, loaders)
        _check_classes(cfg, loaders)
        batches = {k: _first_batch(loaders[k], k) for k in keys}
        for key in keys:
            _require_one_size(loaders[key], key)
        _require_shared_memory(loaders, batches)
        if 'train' in parts:
            with told_by('optim_wrapper'):
                Runner.build_optim_wrapper(_Holder(network), cfg.optim_wrapper)
            _require_fit(network, batches['train_dataloader'])
        for part in parts[1:] if 'train' in parts else parts:
            if cfg.get(f'{part}_evaluator'):
                with told_by(f'{part}_evaluator'):
                    evaluators = cfg[f'{part}_evaluator']
                    several = isinstance(evaluators, list | tuple)
                    for one in evaluators if several else [evaluators]:
                        METRICS.build(one)


class _Holder:
    """What mmengine builds an optimizer for: something with a model."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model


@contextmanager
def told_by(key: str) -> Iterator[None]:
    """Tell in one line, by the key, what a class says of its settings.

    Raises:
        UserError: Any mistake, by any class.
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
    """Check that all heads have the classes of the data."""
    for loader in loaders.values():
        classes = (getattr(loader.dataset, 'metainfo', None) or {}).get(
            'classes'
        )
        for finding in check_class_count(cfg.model, len(classes or ())):
            if classes:
                raise finding.as_error()


def _first_batch(loader: DataLoader, key: str) -> Any:
    """Load the first batch in this process."""
    with told_by(key):
        items = next(iter(loader.batch_sampler or loader.sampler), [])
    try:
        return loader.collate_fn([loader.dataset[item] for item in items])
    except UserError:
        raise
    except FAULTS as error:
        _tell_step(loader, key)
        raise UserError(f'{key}.dataset: {_say(error)}') from error


def _tell_step(loader: DataLoader, key: str) -> None:
    """Find the step of a pipeline that fails.

    Raises:
        UserError: It fails again.
    """
    for reading in readings_of(loader.dataset, f'{key}.dataset', key):
        data = reading.dataset.get_data_info(0)
        for index, step in enumerate(reading.dataset.pipeline.transforms):
            where = f'{reading.key}.pipeline.{index} ({type(step).__name__})'
            try:
                data = step(data)
            except KeyError as error:
                raise UserError(
                    f'{where}: reads {error}, which no step before it gives'
                ) from error
            except FAULTS as error:
                raise UserError(f'{where}: {_say(error)}') from error


def _require_one_size(loader: DataLoader, key: str) -> None:
    """Check that images which are evaluated together have one size.

    Raises:
        UserError: They have not, once the pipeline has resized them.
    """
    if LOADERS[key] == 'train' or (loader.batch_size or 1) == 1:
        return
    first: dict[tuple, int] = {}
    [reading, *_] = readings_of(loader.dataset, key, key)
    for index, sample in enumerate(reading.samples):
        first.setdefault(reading.image_size(sample['img_path']), index)
    found: dict[tuple, str] = {}
    for index in islice(first.values(), SIZES):
        with told_by(f'{key}.dataset'):
            inputs = loader.dataset[index]['inputs']
        path = reading.samples[index]['img_path']
        found.setdefault(tuple(inputs.shape[-2:]), path)
    if len(found) > 1:
        (one, name), (other, another), *_ = found.items()
        raise UserError(
            f'{key}.batch_size={loader.batch_size}: {name} has the size '
            f'{one[0]}x{one[1]} and {another} {other[0]}x{other[1]}; expected '
            'one size, or batch_size=1'
        )


def _require_shared_memory(
    loaders: dict[str, DataLoader], batches: dict[str, Any]
) -> None:
    """Check that the batches of all workers fit into shared memory.

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
            f'of {", ".join(loaders)}; more of it (docker run --shm-size=8g), '
            'a smaller num_workers, or 0'
        )


def _bytes(node: Any) -> int:
    if isinstance(node, Tensor):
        return node.numel() * node.element_size()
    if hasattr(node, 'all_items'):  # a data sample, or a part of one
        return sum(_bytes(value) for _, value in node.all_items())
    if isinstance(node, dict):
        node = node.values()
    if isinstance(node, str | bytes) or not hasattr(node, '__iter__'):
        return 0
    if isinstance(node, np.ndarray):
        return 0  # pickled, not shared
    return sum(map(_bytes, node))


def _require_fit(network: nn.Module, batch: Any) -> None:
    """Check that a batch of the first one's size passes the network.

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
            if 'meta' in str(error):
                continue
            few = 'Expected more than 1 value per channel' in str(error)
            hint = (
                f'train_dataloader.batch_size={shape[0]}: a batch norm has '
                'one value a channel, expected 2 images or more'
                if few
                else f'model: a batch {shape} does not pass, {_say(error)}'
            )
            raise UserError(hint) from error
