# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from mmengine import fileio
from mmengine.dataset import BaseDataset
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmseg.registry import HOOKS
from PIL import Image
from torch import nn

from mmseg_cag.datasets import LoadPseudoLabels, UDADataset
from mmseg_cag.datasets.zip_files import open_file
from mmseg_cag.errors import MissingFileError, UserError

from .stage_hook import bare_model


@HOOKS.register_module()
class CheckDataHook(Hook):
    """Open every file's header before a run starts, not hours into it.

    Checks the data sets of training and validation: each image can be opened
    and, where labels are read, has a label of its size. Pseudo labels of the
    target are there and have its classes.

    Args:
        workers: Threads that open files.
    """

    priority = 'VERY_HIGH'

    def __init__(self, workers: int = 16) -> None:
        self.workers = workers

    def before_train(self, runner: Runner) -> None:
        """Check what training and validation will read."""
        dataset = runner.train_dataloader.dataset
        if isinstance(dataset, UDADataset):
            self._check(runner, dataset.source, labelled=True)
            self._check(runner, dataset.target, labelled=False)
            if is_main_process():
                check_pseudo_labels(dataset.target)
        else:
            self._check(runner, dataset, labelled=True)
        if runner.val_loop is not None:
            dataset = runner.val_loop.dataloader.dataset
            self._check(runner, dataset, labelled=True)

    def before_test(self, runner: Runner) -> None:
        """Check what the test will read."""
        dataset = runner.test_loop.dataloader.dataset
        self._check(runner, dataset, labelled=True)

    def _check(
        self, runner: Runner, dataset: BaseDataset, labelled: bool
    ) -> None:
        check_classes(dataset, bare_model(runner).decode_head)
        if is_main_process():
            check_files(dataset, labelled, self.workers)


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
    """Open the header of every file of a data set.

    Args:
        dataset: The data set.
        labelled: Whether its labels will be read.
        workers: Threads that open files.

    Raises:
        MissingFileError: An image or a label does not exist.
        UserError: One is no image, or their sizes differ.
    """
    samples = [dataset.get_data_info(i) for i in range(len(dataset))]
    with ThreadPoolExecutor(workers) as pool:
        for _ in pool.map(lambda s: check_sample(s, labelled), samples):
            pass


def check_pseudo_labels(dataset: BaseDataset) -> None:
    """Check the pseudo labels of a target, if its pipeline reads any.

    Args:
        dataset: The target.

    Raises:
        MissingFileError: An image has none.
        UserError: They are of other classes, or no pseudo labels.
    """
    pipeline = getattr(dataset, 'pipeline', None)
    for step in getattr(pipeline, 'transforms', ()):
        if isinstance(step, LoadPseudoLabels):
            step.check(dataset)


def check_sample(sample: dict, labelled: bool) -> None:
    """Check one image and, where labels are read, its label.

    Args:
        sample: ``img_path`` and ``seg_map_path``.
        labelled: Whether the label will be read; else it is not touched.

    Raises:
        MissingFileError: The image or its label does not exist.
        UserError: One is no image, their sizes differ, or no folder of
            labels is set.
    """
    image = sample['img_path']
    size = image_size(image, 'image')
    if not labelled:
        return
    label = sample.get('seg_map_path')
    if label is None:
        raise UserError(
            f'{image}: its label is to be read, but data_prefix.seg_map_path '
            'is not set'
        )
    label_size = image_size(label, f'label of {image}')
    if label_size != size:
        raise UserError(
            f'{label}: expected the size of its image, {size[0]}x{size[1]}, '
            f'found {label_size[0]}x{label_size[1]}'
        )


def image_size(path: str, role: str) -> tuple[int, int]:
    """Read (width, height) from a file's header."""
    if not fileio.isfile(path):
        raise MissingFileError(f'{path}: {role} not found')
    try:
        with open_file(path) as file, Image.open(file) as image:
            return image.size
    except OSError as error:
        raise UserError(f'{path}: {role} is no readable image') from error
