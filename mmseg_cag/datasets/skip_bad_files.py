# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate

import cv2
import numpy as np
from mmengine.dataset import Compose
from mmseg.registry import DATASETS
from torch.utils.data import Dataset

from mmseg_cag.datasets.inspection.dataset_inputs import (
    dataset_inputs,
    sample_rows,
)
from mmseg_cag.datasets.inspection.finding import Level
from mmseg_cag.datasets.inspection.headers import check_headers
from mmseg_cag.errors import UserError

# Errors that image and label readers raise for bad files.
BAD_FILE = (UserError, OSError, AssertionError, SyntaxError, cv2.error)
# Consecutive bad files after which the data are considered broken.
MOST_IN_A_ROW = 50


@DATASETS.register_module()
class SkipBadFiles(Dataset):
    """A training set that replaces bad samples by others.

    The replacement depends only on the key and the index, so the data are the
    same for any number of workers. In a combined dataset it is of the same
    part, such as a domain of a pool, and checked as that part reads its files.
    Skipped files are recorded in the sample's metainfo, ``skipped_files``, as
    (path, reason); `SkippedFilesHook` logs them at the end of training.

    Args:
        dataset: A dataset or its config.

    Raises:
        UserError: The dataset is for evaluation, where every sample counts.
    """

    skips_bad_files = True

    def __init__(self, dataset: dict | Dataset) -> None:
        if isinstance(dataset, dict):
            dataset = DATASETS.build(dataset)
        parts = dataset_inputs(dataset, 'dataset', 'train')
        if any(getattr(part.dataset, 'test_mode', False) for part in parts):
            raise UserError(
                'SkipBadFiles: dataset.test_mode=True, expected a training '
                'set: an evaluation must not skip images'
            )
        self.dataset = dataset
        lengths = (len(part.dataset) for part in parts)
        self._bounds = [*accumulate(lengths, initial=0)]  # of each part
        # A repeated dataset is longer than its parts.
        self._rows = sample_rows(dataset)
        self._first = np.unique(self._rows, return_index=True)[1]
        # How each part's files are read.
        self._checks = [
            (
                part.labelled,
                getattr(part.dataset, 'backend_args', None),
                part.sizes,
            )
            for part in parts
        ]

    @property
    def metainfo(self) -> dict:
        """Classes and palette."""
        return self.dataset.metainfo

    @property
    def pipeline(self) -> Compose | None:
        """The dataset's transforms, unless it is also a wrapper."""
        return getattr(self.dataset, 'pipeline', None)

    def __len__(self) -> int:
        """Number of samples, good and bad."""
        return len(self.dataset)

    def get_data_info(self, index: int) -> dict:
        """Return a sample's paths without loading it."""
        return self.dataset.get_data_info(index)

    def __getitem__(self, index: int) -> dict:
        """Load a sample, or a replacement drawn by its index."""
        return self.load(index, ())

    def load(self, index: int, key: Sequence[int]) -> dict:
        """Load a sample, or a replacement drawn by key and index.

        Args:
            index: Index of the sample.
            key: Non-negative integers.

        Raises:
            UserError: Many samples in a row are bad.
        """
        skipped = []
        for candidate in self._candidates(index, key):
            try:
                sample = self._load_checked(candidate)
            except BAD_FILE as error:
                path = self.dataset.get_data_info(candidate)['img_path']
                reason = one_line(error).removeprefix(f'{path}: ')
                skipped.append((path, reason))
                continue
            if skipped:
                found = {'skipped_files': skipped}
                sample['data_samples'].set_metainfo(found)
            return sample
        raise UserError(
            f'SkipBadFiles: {len(skipped)} bad samples in a row, such as '
            f'{": ".join(skipped[-1])}'
        )

    def _part(self, index: int) -> int:
        return bisect_right(self._bounds, self._rows[index]) - 1

    def _candidates(self, index: int, key: Sequence[int]) -> Iterator[int]:
        yield index
        start, end = self._bounds[self._part(index) :][:2]
        words = np.random.SeedSequence((*key, index))
        others = np.random.default_rng(words).permutation(end - start) + start
        others = others[others != self._rows[index]]
        for other in others[: MOST_IN_A_ROW - 1]:
            yield int(self._first[other])

    def _load_checked(self, index: int) -> dict:
        """Load a sample; check that its files are intact and of one size."""
        info = self.dataset.get_data_info(index)
        labelled, backend_args, sizes = self._checks[self._part(index)]
        for fault in check_headers(info, None, labelled, backend_args, sizes):
            if fault.kind.level is Level.ERROR:
                raise fault.as_error()
        return self.dataset[index]


def skipping(dataset: Dataset) -> Dataset:
    """Let a dataset skip its bad files, in its own way if it has one."""
    if hasattr(dataset, 'skipping_bad_files'):
        return dataset.skipping_bad_files()
    return SkipBadFiles(dataset)


def one_line(error: Exception) -> str:
    """Return the last line of an error's message."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[-1]
