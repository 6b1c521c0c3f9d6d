# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import torch
from mmengine.config import Config
from mmengine.dataset import BaseDataset, pseudo_collate
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmseg.registry import DATASETS, HOOKS
from torch import nn
from torch.utils.data import Dataset

from mmseg_cag.data_check.collect import identity
from mmseg_cag.data_check.consistency import check_class_names, check_overlap
from mmseg_cag.data_check.quick_checks import quick_checks
from mmseg_cag.datasets.dataset_configs import (
    LOADERS,
    dataset_of,
    loaders_of,
    require_images,
)
from mmseg_cag.datasets.inspection.dataset_inputs import (
    DatasetInput,
    dataset_inputs,
)
from mmseg_cag.datasets.inspection.finding import Finding, Level
from mmseg_cag.datasets.transforms.load_pseudo_labels import LoadPseudoLabels
from mmseg_cag.datasets.transforms.load_translated_image import (
    LoadTranslatedImage,
)
from mmseg_cag.engine.stages import anchor_loader
from mmseg_cag.errors import UserError
from mmseg_cag.models.segmentors.base import bare_model

from .data_fingerprint_hook import SAME


@HOOKS.register_module()
class CheckDataHook(Hook):
    """Check the data before a run starts, not hours into it.

    All that the doctor finds without decoding, in the data sets of training,
    of validation and of every other dataloader that the run reads: folders,
    pairs, and the header and end of every file.
    Files that training skips do not stop the run. Pseudo labels of a target
    are there and have its classes; every label of a translated source has its
    image. A run that goes on with files of the same names and sizes
    (`DataFingerprintHook`) is not checked again.

    Args:
        workers: Threads that open files.
    """

    priority = 'VERY_HIGH'

    def __init__(self, workers: int = 16) -> None:
        self.workers = workers

    def before_train(self, runner: Runner) -> None:
        """Check what training and validation will read."""
        datasets = {'train_dataloader': runner.train_dataloader.dataset}
        if runner.val_loop is not None:
            dataset = runner.val_loop.dataloader.dataset
            datasets['val_dataloader'] = dataset
            check_patches(bare_model(runner), dataset)
        self._check(runner, datasets, further=True)

    def before_test(self, runner: Runner) -> None:
        """Check what the test will read."""
        dataset = runner.test_loop.dataloader.dataset
        self._check(runner, {'test_dataloader': dataset})

    def _check(
        self,
        runner: Runner,
        datasets: dict[str, Dataset],
        further: bool = False,
    ) -> None:
        head = getattr(bare_model(runner), 'decode_head', None)
        if head is not None:  # an image translator has none
            for dataset in datasets.values():
                check_classes(dataset, head)
        # What a run went on with was checked when it began.
        same = runner.message_hub.get_info(SAME, False)
        if is_main_process() and not same:
            if further:
                datasets |= further_datasets(runner.cfg)
            readings = list_readings(datasets)
            stop_at_faults(readings, self.workers)
            for reading in readings:
                check_made_files(reading.dataset)


def further_datasets(cfg: Config) -> dict[str, Dataset]:
    """Build what a run reads beside training, validation and test.

    Args:
        cfg: The run's config.

    Returns:
        By the key of the dataloader.
    """
    found = {}
    for key in loaders_of(cfg):
        if LOADERS[key] in ('train', 'val', 'test'):
            continue
        anchors = key == 'anchor_dataloader'
        part = (
            anchor_loader(cfg)['dataset'] if anchors else dataset_of(cfg, key)
        )
        require_images(part, f'{key}.dataset')
        found[key] = DATASETS.build(part)
    return found


def list_readings(datasets: dict[str, Dataset]) -> list[DatasetInput]:
    """List the data sets within, each that reads the same files once.

    Args:
        datasets: Data sets, with or without wrappers, by their dataloader.
    """
    readings: dict[str, DatasetInput] = {}
    for key, dataset in datasets.items():
        role = LOADERS[key]
        labelled = None if role == 'translation' else True
        for reading in dataset_inputs(
            dataset, f'{key}.dataset', role, labelled
        ):
            readings.setdefault(identity(reading), reading)
    return list(readings.values())


def check_classes(dataset: BaseDataset, head: nn.Module) -> None:
    """Check that a network has as many classes as the data.

    Args:
        dataset: What it is trained or evaluated on.
        head: The network's decode head.

    Raises:
        UserError: The numbers differ.
    """
    classes = dataset.metainfo['classes']
    if len(classes) != head.num_classes:
        raise UserError(
            f'model.decode_head.num_classes={head.num_classes}, but '
            f'{type(dataset).__name__} has {len(classes)} classes'
        )


def check_patches(model: nn.Module, dataset: BaseDataset) -> None:
    """Check that an encoder of patches takes what it will be evaluated on.

    Args:
        model: The segmentor.
        dataset: The data set; its first image is read, unless windows are
            cut out of it.

    Raises:
        UserError: The patches do not divide the sides.
    """
    encoder = getattr(model, 'backbone', None)
    if getattr(encoder, 'resize', 1) is not None or not hasattr(
        encoder, 'fit'
    ):
        return
    size = (model.test_cfg or {}).get('crop_size')
    if size is None:
        batch = pseudo_collate([dataset[0]])
        size = model.data_preprocessor(batch, False)['inputs'].shape[-2:]
    encoder.fit(torch.empty(1, 3, *size, device='meta'))


def check_made_files(dataset: BaseDataset) -> None:
    """Check what networks have made of a data set, where it reads such files.

    Args:
        dataset: The data set, without wrappers.

    Raises:
        MissingFileError: A pseudo label or a translated image is missing.
        UserError: One is something else.
    """
    for step in dataset.pipeline.transforms:
        if isinstance(step, LoadPseudoLabels | LoadTranslatedImage):
            step.check(dataset)


def stop_at_faults(readings: list[DatasetInput], workers: int) -> None:
    """Stop at the first error that the doctor finds without decoding.

    What single files lack is left to training where it skips them.

    Args:
        readings: The data sets of a run.
        workers: Threads that open files.

    Raises:
        MissingFileError: An image or a label does not exist.
        UserError: Anything else is wrong.
    """
    for reading in readings:
        for finding in quick_checks(reading, workers):
            if not (reading.skips and finding.kind.of_file):
                _stop_at(finding)
    for finding in (*check_class_names(readings), *check_overlap(readings)):
        _stop_at(finding)


def _stop_at(finding: Finding) -> None:
    if finding.kind.level is Level.ERROR:
        raise finding.as_error()
