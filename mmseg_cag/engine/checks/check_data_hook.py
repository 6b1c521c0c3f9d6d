# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from itertools import chain

import torch
from mmengine.config import Config
from mmengine.dataset import BaseDataset, pseudo_collate
from mmengine.dist import is_main_process
from mmengine.evaluator import Evaluator
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import Runner
from mmseg.datasets import BaseSegDataset
from mmseg.registry import DATASETS, HOOKS
from mmseg.structures import SegDataSample
from torch import nn
from torch.utils.data import DataLoader, Dataset

from mmseg_cag.data_check.collect import identity
from mmseg_cag.data_check.consistency import (
    check_anchors,
    check_class_names,
    check_count,
    check_overlap,
)
from mmseg_cag.data_check.contents import check_few
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
from mmseg_cag.datasets.inspection.headers import read_header
from mmseg_cag.datasets.inspection.label_reader import TrainIdReader
from mmseg_cag.datasets.transforms.load_pseudo_labels import LoadPseudoLabels
from mmseg_cag.datasets.transforms.load_translated_image import (
    LoadTranslatedImage,
)
from mmseg_cag.datasets.uda import load_or_stop
from mmseg_cag.engine.stages import anchor_loader
from mmseg_cag.errors import UserError, escape_control_chars
from mmseg_cag.evaluation.uda_iou_metric import UDAIoUMetric
from mmseg_cag.models.segmentors.base import bare_model

from .data_fingerprint_hook import SAME

# Batches within which a labelled pixel must occur; more if an epoch is longer.
PATIENCE = 100


@HOOKS.register_module()
class CheckDataHook(Hook):
    """Check all data of a run before it starts.

    Applies the data check to the datasets of training, validation and every
    other dataloader of the run: folders, pairs, header and end of every file,
    and the contents of a few. An error stops the run, a warning is logged.
    Files that training skips do not stop the run. Pseudo labels must exist and
    have the target's classes; every label of a translated source must have its
    image. A resumed run with files of the same names and sizes
    (`DataFingerprintHook`) is not checked again. In training, one batch of the
    first pass over the data must have a labelled pixel.

    Args:
        workers: Threads that open files.
    """

    priority = 'VERY_HIGH'

    def __init__(self, workers: int = 16) -> None:
        self.workers = workers
        self._batches = 0  # without a labelled pixel; None: done
        self._own_ids = True  # whether the loading transform knows the classes

    def before_train(self, runner: Runner) -> None:
        """Check the data of training and validation."""
        dataset = runner.train_dataloader.dataset
        datasets = {'train_dataloader': dataset}
        self._own_ids = not any(
            isinstance(reading.labels, TrainIdReader)
            for reading in dataset_inputs(dataset, '', 'train')
        )
        if runner.val_loop is not None:
            dataset = runner.val_loop.dataloader.dataset
            datasets['val_dataloader'] = dataset
            check_patches(bare_model(runner), dataset)
        self._check(runner, datasets, further=True)
        if runner.val_loop is not None:
            check_evaluation(runner, 'val')

    def before_test(self, runner: Runner) -> None:
        """Check the data of the test."""
        dataset = runner.test_loop.dataloader.dataset
        self._check(runner, {'test_dataloader': dataset})
        check_evaluation(runner, 'test')

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None
    ) -> None:
        """Check a batch for invalid ids and for labelled pixels.

        Raises:
            UserError: An id is not a class, or no batch had a labelled pixel.
        """
        head = getattr(bare_model(runner), 'decode_head', None)
        if head is None or self._own_ids and self._batches is None:
            return
        samples = list(labelled_samples(data_batch['data_samples']))
        is_labelled = [has_labels(sample, head) for sample in samples]
        if any(is_labelled) or not samples:
            self._batches = None
        elif self._batches is not None:
            self._batches += 1
            epoch = len(runner.train_dataloader.dataset) // len(samples)
            if self._batches == min(max(PATIENCE, epoch), runner.max_iters):
                raise UserError(
                    f'{samples[0].get("seg_map_path")}: no pixel is labelled, '
                    f'nor in any other label of {self._batches} batches, so '
                    'nothing is learned; check_data.py shows the classes in '
                    'the files'
                )

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
        # Data of a resumed run were checked when it started.
        same = runner.message_hub.get_info(SAME, False)
        if is_main_process() and not same:
            if further:
                datasets |= further_datasets(runner.cfg)
            readings = list_readings(datasets)
            stop_at_faults(readings, self.workers)
            for reading in readings:
                check_made_files(reading.dataset)


def further_datasets(cfg: Config) -> dict[str, Dataset]:
    """Build datasets other than those of training, validation and test.

    Args:
        cfg: The run's config.

    Returns:
        Datasets by the key of their dataloader.
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
    """List the inner datasets, once per set of files.

    Args:
        datasets: Datasets, with or without wrappers, by dataloader.
    """
    readings: dict[str, DatasetInput] = {}
    for key, dataset in datasets.items():
        role = LOADERS[key]
        # An evaluation that only writes predictions reads no labels.
        unlabelled = role in ('translation', 'val', 'test')
        labelled = None if unlabelled else True
        for reading in dataset_inputs(
            dataset, f'{key}.dataset', role, labelled
        ):
            readings.setdefault(identity(reading), reading)
    return list(readings.values())


def check_classes(dataset: BaseDataset, head: nn.Module) -> None:
    """Check that a network has as many classes as the data.

    Args:
        dataset: Dataset of training or evaluation.
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
    """Check that evaluation images suit an encoder's patch size.

    Args:
        model: The segmentor.
        dataset: The dataset; its first image is read, unless the model slides
            windows.

    Raises:
        UserError: The sides are not multiples of the patch size.
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
    """Check pseudo labels and translated images that a dataset reads.

    Args:
        dataset: The dataset, without wrappers.

    Raises:
        MissingFileError: A pseudo label or a translated image is missing.
        UserError: A file is not of that kind.
    """
    for step in dataset.pipeline.transforms:
        if isinstance(step, LoadPseudoLabels | LoadTranslatedImage):
            step.check(dataset)


def stop_at_faults(readings: list[DatasetInput], workers: int) -> None:
    """Raise the first error of the data check; log its warnings.

    Faults of single files are ignored if training skips bad files.

    Args:
        readings: The data sets of a run.
        workers: Threads that open files.

    Raises:
        MissingFileError: An image or a label does not exist.
        UserError: Anything else is wrong.
    """
    warnings: dict[str, list[Finding]] = {}
    for finding in _findings(readings, workers):
        if finding.kind.level is Level.ERROR:
            raise finding.as_error()
        if finding.kind.level is Level.WARNING:
            warnings.setdefault(finding.name, []).append(finding)
    for name, (first, *others) in warnings.items():
        more = f' (and {len(others)} more)' if others else ''
        text = f'{first.where}: {name}, {first.problem}{more}. {first.remedy}'
        print_log(escape_control_chars(text), 'current', logging.WARNING)


def _findings(readings: list[DatasetInput], workers: int) -> Iterator[Finding]:
    for reading in readings:
        known = []
        for finding in quick_checks(reading, workers):
            known.append(finding)
            if not (reading.skips and finding.kind.of_file):
                yield finding
        if not isinstance(reading.dataset, BaseSegDataset):
            continue
        yield from check_count(reading)
        for finding in check_few(reading, known):
            # A few samples do not show whether a rare class is missing.
            is_rare = finding.kind.level is not Level.ERROR
            if not is_rare and not (reading.skips and finding.kind.of_file):
                yield finding
    for check in (check_class_names, check_anchors, check_overlap):
        yield from check(readings)


def labelled_samples(samples: dict | Sequence) -> Iterator[SegDataSample]:
    """Yield the samples with ground truth of a batch, over all domains."""
    parts = samples.values() if isinstance(samples, dict) else [samples]
    for sample in chain.from_iterable(parts):
        if 'gt_sem_seg' in sample:
            yield sample


def has_labels(sample: SegDataSample, head: nn.Module) -> bool:
    """Return whether a sample has a labelled pixel.

    Args:
        sample: Sample with ground truth.
        head: The network's decode head.

    Raises:
        UserError: An id is neither a class nor the head's ``ignore_index``.
    """
    ids = sample.gt_sem_seg.data
    is_void = ids == head.ignore_index
    wrong = ids[~is_void & (ids >= head.num_classes)]
    if len(wrong):
        raise UserError(
            f'{sample.get("seg_map_path")}: found the id {wrong[0].item()}, '
            f'expected those of the {head.num_classes} classes, from 0, and '
            f'{head.ignore_index}'
        )
    return not is_void.all()


def check_evaluation(runner: Runner, mode: str) -> None:
    """Check that evaluation images have labels and fit into a batch.

    Also passes the location of the labels to the metric.

    Args:
        runner: The run.
        mode: ``val`` or ``test``.

    Raises:
        UserError: They do not.
    """
    loop, key = getattr(runner, f'{mode}_loop'), f'{mode}_dataloader'
    loader: DataLoader = loop.dataloader
    evaluator: Evaluator = loop.evaluator
    dataset = loader.dataset
    parts = dataset_inputs(dataset, key, mode)
    for metric in evaluator.metrics:
        if isinstance(metric, UDAIoUMetric):
            folders = {part.folder('img_path') for part in parts}
            if len(folders) > 1:
                folders = {os.path.commonpath(folders)}
            [metric.image_folder] = folders
    if not all(getattr(m, 'format_only', True) for m in evaluator.metrics):
        sample = load_or_stop(dataset, 0, ())['data_samples']
        if 'gt_sem_seg' not in sample:
            raise UserError(
                f'{key}.dataset.pipeline: reads no labels, which '
                f'{mode}_evaluator needs; for predictions only, set '
                f'{mode}_evaluator.format_only=True and output_dir; to '
                f'disable it, set {mode}_dataloader, {mode}_cfg and '
                f'{mode}_evaluator to None'
            )
    preprocessor = bare_model(runner).data_preprocessor
    if hasattr(preprocessor, 'domains'):
        preprocessor = preprocessor.of('target')
    if loader.batch_size > 1 and not getattr(preprocessor, 'test_cfg', None):
        check_one_size(dataset, f'{key}.batch_size={loader.batch_size}')


def check_one_size(dataset: Dataset, key: str) -> None:
    """Check that all network inputs of a dataset have the same size.

    Args:
        dataset: The dataset.
        key: Config key that requires it, for the error.

    Raises:
        UserError: They do not.
    """
    indices: dict[tuple[int, int], int] = {}
    for index in range(len(dataset)):
        path = dataset.get_data_info(index)['img_path']
        header = read_header(path, getattr(dataset, 'backend_args', None))
        indices.setdefault(header.size, index)
    paths: dict[tuple[int, ...], str] = {}
    for index in indices.values():
        sample = load_or_stop(dataset, index, ())
        path = dataset.get_data_info(index)['img_path']
        paths.setdefault(tuple(sample['inputs'].shape[:0:-1]), path)
    if len(paths) > 1:
        (one, first), (two, second), *_ = paths.items()
        raise UserError(
            f'{key}: expected images of one size, found {first} of '
            f'{one[0]}x{one[1]} and {second} of {two[0]}x{two[1]}; set it to '
            '1, or a Resize with keep_ratio=False'
        )
