# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from mmengine.dataset import BaseDataset
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmseg.registry import HOOKS
from torch import nn
from torch.utils.data import DataLoader

from mmseg_cag.data_check.consistency import check_class_names, check_overlap
from mmseg_cag.data_check.quick_checks import quick_checks
from mmseg_cag.datasets.inspection.finding import Finding, Level
from mmseg_cag.datasets.inspection.reading import Reading, readings_of
from mmseg_cag.datasets.transforms.load_pseudo_labels import LoadPseudoLabels
from mmseg_cag.datasets.transforms.load_translated_image import (
    LoadTranslatedImage,
)
from mmseg_cag.errors import UserError
from mmseg_cag.models.unwrap import bare_model

from .data_fingerprint_hook import SAME


@HOOKS.register_module()
class CheckDataHook(Hook):
    """Check the data before a run starts, not hours into it.

    All that the doctor finds without decoding, in the data sets of training
    and validation: folders, pairs, and the header and end of every file.
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
        loaders = {'train': runner.train_dataloader}
        if runner.val_loop is not None:
            loaders['val'] = runner.val_loop.dataloader
        self._check(runner, loaders)

    def before_test(self, runner: Runner) -> None:
        """Check what the test will read."""
        self._check(runner, {'test': runner.test_loop.dataloader})

    def _check(self, runner: Runner, loaders: dict[str, DataLoader]) -> None:
        head = getattr(bare_model(runner), 'decode_head', None)
        if head is not None:  # an image translator has none
            for loader in loaders.values():
                check_classes(loader.dataset, head)
        # What a run went on with was checked when it began.
        same = runner.message_hub.get_info(SAME, False)
        if is_main_process() and not same:
            readings = [
                reading
                for role, loader in loaders.items()
                for reading in readings_of(
                    loader.dataset, f'{role}_dataloader.dataset', role, True
                )
            ]
            stop_at_faults(readings, self.workers)
            for reading in readings:
                check_made_files(reading.dataset)


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


def check_files(dataset: BaseDataset, labelled: bool, workers: int) -> None:
    """Stop at the first fault of a data set, as `stop_at_faults` does.

    Args:
        dataset: The data set, with or without wrappers.
        labelled: Whether its labels will be read.
        workers: Threads that open files.

    Raises:
        MissingFileError: An image or a label does not exist.
        UserError: One is no image, their sizes differ, or the like.
    """
    readings = readings_of(dataset, 'dataset', 'train', labelled)
    stop_at_faults(readings, workers)


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


def stop_at_faults(readings: list[Reading], workers: int) -> None:
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
