# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from mmcv.transforms import BaseTransform
from mmengine.dataset import BaseDataset
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmseg.registry import HOOKS
from torch.utils.data import Dataset

from mmseg_cag.datasets.inspection.dataset_inputs import dataset_inputs
from mmseg_cag.datasets.uda import UDADataset
from mmseg_cag.errors import UserError


@HOOKS.register_module()
class LogLabelMapHook(Hook):
    """Log the mapping from ids of label files to classes.

    Covers each transform with ``train_ids`` (raw id -> train id) and
    ``void_ids`` in labelled training, validation and test. Parts of a combined
    dataset that read labels in different ways are named by their keys.
    """

    def before_train(self, runner: Runner) -> None:
        """Log the labels of training and validation."""
        dataset = runner.train_dataloader.dataset
        if isinstance(dataset, UDADataset):
            for name in dataset.labelled:
                self._state(runner, f'training {name}', dataset.domains[name])
        else:
            self._state(runner, 'training', dataset)
        if runner.val_loop is not None:
            dataset = runner.val_loop.dataloader.dataset
            self._state(runner, 'validation', dataset)

    def before_test(self, runner: Runner) -> None:
        """Log the labels of the test."""
        self._state(runner, 'test', runner.test_loop.dataloader.dataset)

    def _state(self, runner: Runner, use: str, dataset: Dataset) -> None:
        parts: dict[str, list[str]] = {}  # that read labels in the same way
        for part in dataset_inputs(dataset, use, use, labelled=False):
            pipeline = getattr(part.dataset, 'pipeline', None)
            for step in getattr(pipeline, 'transforms', ()):
                if hasattr(step, 'train_ids'):
                    check_names(part.dataset, step)
                    described = describe_labels(part.dataset, step)
                    parts.setdefault(described, []).append(part.key)
        for described, keys in parts.items():
            name = use if len(parts) == 1 else ', '.join(keys)
            runner.logger.info(f'Labels of {name}: {described}')


def check_names(dataset: BaseDataset, step: BaseTransform) -> None:
    """Check that a transform's classes match the dataset's.

    Raises:
        UserError: They differ.
    """
    classes = list(dataset.metainfo['classes'])
    found = getattr(step, 'classes', classes)
    if list(found) != classes:
        raise UserError(
            f'{type(step).__name__}: classes={found}, expected '
            f'metainfo.classes of the data set, {classes}'
        )


def describe_labels(dataset: BaseDataset, step: BaseTransform) -> str:
    """List the ids of each class and the ignored ids.

    Args:
        dataset: The dataset; its ``label_map``, a class selection, is applied
            after the transform.
        step: The transform that loads labels.
    """
    classes = dataset.metainfo['classes']
    chosen = dataset.metainfo.get('label_map')
    ids = defaultdict(list)
    ignored = set(step.void_ids)
    for raw, train_id in sorted(step.train_ids.items()):
        index = train_id if chosen is None else chosen[train_id]
        if index < len(classes):
            ids[index].append(raw)
        else:
            ignored.add(raw)
    show = getattr(step, 'show_ids', _show_ids)
    parts = [
        f'{name} = {show(ids[index]) if ids[index] else "none"}'
        for index, name in enumerate(classes)
    ]
    if ignored:
        parts.append(f'ignored = {show(sorted(ignored))}')
    return '; '.join(parts)


def _show_ids(ids: Iterable[int]) -> str:
    return f'id {", ".join(map(str, ids))}'
