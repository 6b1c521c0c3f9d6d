# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mmengine.dataset import BaseDataset
from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmseg.registry import HOOKS
from PIL import Image

from mmseg_cag.datasets import UDADataset


@HOOKS.register_module()
class CheckDataHook(Hook):
    """Open every file's header before a run starts, not hours into it.

    Checks the data sets of training and validation: each image can be opened
    and, where labels are read, has a label of its size.

    Args:
        workers: Threads that open files.
    """

    priority = 'VERY_HIGH'

    def __init__(self, workers: int = 16) -> None:
        self.workers = workers

    def before_train(self, runner: Runner) -> None:
        """Check what the training and the validation will read."""
        if not is_main_process():
            return
        dataset = runner.train_dataloader.dataset
        if isinstance(dataset, UDADataset):
            self._check(dataset.source, labelled=True)
            self._check(dataset.target, labelled=False)
        else:
            self._check(dataset, labelled=True)
        if runner.val_loop is not None:
            self._check(runner.val_loop.dataloader.dataset, labelled=True)

    def before_test(self, runner: Runner) -> None:
        """Check what the test will read."""
        if is_main_process():
            dataset = runner.test_loop.dataloader.dataset
            self._check(dataset, labelled=True)

    def _check(self, dataset: BaseDataset, labelled: bool) -> None:
        samples = [dataset.get_data_info(i) for i in range(len(dataset))]
        with ThreadPoolExecutor(self.workers) as pool:
            for _ in pool.map(lambda s: check_sample(s, labelled), samples):
                pass


def check_sample(sample: dict, labelled: bool) -> None:
    """Check one image and, where labels are read, its label.

    Args:
        sample: ``img_path`` and ``seg_map_path``.
        labelled: Whether the label will be read; else it is not touched.

    Raises:
        FileNotFoundError: The image or its label does not exist.
        ValueError: One is no image, their sizes differ, or no folder of
            labels is set.
    """
    image = sample['img_path']
    size = image_size(image, 'image')
    if not labelled:
        return
    label = sample.get('seg_map_path')
    if label is None:
        raise ValueError(
            f'{image}: its label is to be read, but data_prefix.seg_map_path '
            'is not set'
        )
    label_size = image_size(label, f'label of {image}')
    if label_size != size:
        raise ValueError(
            f'{label}: expected the size of its image, {size[0]}x{size[1]}, '
            f'found {label_size[0]}x{label_size[1]}'
        )


def image_size(path: str, role: str) -> tuple[int, int]:
    """Read (width, height) from a file's header."""
    if not Path(path).is_file():
        raise FileNotFoundError(f'{path}: {role} not found')
    try:
        with Image.open(path) as image:
            return image.size
    except OSError as error:
        raise ValueError(f'{path}: {role} is no readable image') from error
