# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from collections.abc import Iterator, Sequence

import cv2
import numpy as np
from mmengine.dataset import Compose
from mmseg.registry import DATASETS
from torch.utils.data import Dataset

from mmseg_cag.datasets.inspection.dataset_inputs import dataset_inputs
from mmseg_cag.datasets.inspection.finding import Level
from mmseg_cag.datasets.inspection.headers import check_headers
from mmseg_cag.errors import UserError

# What readers of images and labels raise for a file that is no good.
BAD_FILE = (UserError, OSError, AssertionError, SyntaxError, cv2.error)
# Bad files in a row after which the data, not a file, is at fault.
MOST_IN_A_ROW = 50


@DATASETS.register_module()
class SkipBadFiles(Dataset):
    """A training set in which another sample stands in for a bad one.

    The other sample is drawn by the key and the index alone, so the data of a
    run stay the same for any number of workers. What was skipped is noted in
    the sample's metainfo, ``skipped_files``, as (path, reason);
    `SkippedFilesHook` lists it as training ends.

    Args:
        dataset: A data set, or its config.

    Raises:
        UserError: The data set is for evaluation, where every sample counts.
    """

    skips_bad_files = True

    def __init__(self, dataset: dict | Dataset) -> None:
        if isinstance(dataset, dict):
            dataset = DATASETS.build(dataset)
        if getattr(dataset, 'test_mode', False):
            raise UserError(
                'SkipBadFiles: dataset.test_mode=True, expected a training '
                'set: an evaluation must not skip images'
            )
        self.dataset = dataset
        parts = dataset_inputs(dataset, 'dataset', 'train')
        self._labelled = any(part.labelled for part in parts)
        self._backend_args = getattr(parts[0].dataset, 'backend_args', None)
        self._sizes = parts[0].sizes

    @property
    def metainfo(self) -> dict:
        """Classes and palette."""
        return self.dataset.metainfo

    @property
    def pipeline(self) -> Compose | None:
        """The steps of the data set, unless it is a wrapper too."""
        return getattr(self.dataset, 'pipeline', None)

    def __len__(self) -> int:
        """Samples, good and bad."""
        return len(self.dataset)

    def get_data_info(self, index: int) -> dict:
        """The sample's paths, without loading it."""
        return self.dataset.get_data_info(index)

    def __getitem__(self, index: int) -> dict:
        """Load a sample, or another one drawn by its index."""
        return self.load(index, ())

    def load(self, index: int, key: Sequence[int]) -> dict:
        """Load a sample, or another one drawn by the key and the index.

        Args:
            index: The sample that is wanted.
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

    def _candidates(self, index: int, key: Sequence[int]) -> Iterator[int]:
        yield index
        words = np.random.SeedSequence((*key, index))
        others = np.random.default_rng(words).permutation(len(self))
        for other in others[others != index][: MOST_IN_A_ROW - 1]:
            yield int(other)

    def _load_checked(self, index: int) -> dict:
        """Load a sample whose files are whole and of one size."""
        info = self.dataset.get_data_info(index)
        for fault in check_headers(
            info, None, self._labelled, self._backend_args, self._sizes
        ):
            if fault.kind.level is Level.ERROR:
                raise fault.as_error()
        return self.dataset[index]


def one_line(error: Exception) -> str:
    """The end of an error's message, which says what is wrong."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[-1]
