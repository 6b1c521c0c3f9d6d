# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from mmseg.registry import DATASETS
from torch.utils.data import Dataset

from mmseg_cag.errors import UserError

from .dataset_configs import require_images
from .skip_bad_files import SkipBadFiles, load_or_stop


@DATASETS.register_module()
class UDADataset(Dataset):
    """A labelled source data set and an unlabelled target data set.

    An item is ``{'inputs': {'source': image, 'target': image},
    'data_samples': {same}}``, images uint8 (3, H, W), which mmengine's
    ``pseudo_collate`` turns into lists by domain. The target's pipeline has
    no step that loads labels; a target sample with a label is refused.

    Args:
        source: Config of the labelled data set, of any mmseg class.
        target: Config of the unlabelled data set, of any mmseg class.
        skip_bad_files: Whether another sample, drawn by the key, stands in
            for one that cannot be read; else such a file ends the run.

    Raises:
        UserError: A domain is missing or empty, or the classes differ.
    """

    def __init__(
        self,
        source: dict | None = None,
        target: dict | None = None,
        skip_bad_files: bool = False,
    ) -> None:
        require_images(source, 'UDADataset: source')
        require_images(target, 'UDADataset: target')
        self.source = DATASETS.build(source)
        self.target = DATASETS.build(target)
        if skip_bad_files:
            self.source = SkipBadFiles(self.source)
            self.target = SkipBadFiles(self.target)
        classes = [d.metainfo['classes'] for d in (self.source, self.target)]
        if list(classes[0]) != list(classes[1]):
            raise UserError(
                'UDADataset: source and target must have the same classes, '
                f'got {classes[0]} and {classes[1]}'
            )

    @property
    def metainfo(self) -> dict:
        """Classes and palette, which both domains share."""
        return self.target.metainfo

    def __len__(self) -> int:
        """Source images: the sampler draws the target by itself."""
        return len(self.source)

    def __getitem__(self, item: tuple[tuple[int, int], int, int]) -> dict:
        """Load one pair.

        Args:
            item: (key, source index, target index), as `UDASampler` yields
                it; random transforms are a function of the key alone.

        Raises:
            UserError: A file is bad, or the target's pipeline loads labels.
        """
        key, source_index, target_index = item
        with seeded_transforms(key):
            source = load_or_stop(self.source, source_index, key)
            target = load_or_stop(self.target, target_index, key)
        if 'gt_sem_seg' in target['data_samples']:
            raise UserError(
                'UDADataset: the pipeline of the target loads labels, '
                'expected one without LoadLabelIds or LoadAnnotations'
            )
        return {
            part: {'source': source[part], 'target': target[part]}
            for part in ('inputs', 'data_samples')
        }


@contextmanager
def seeded_transforms(key: tuple[int, int]) -> Iterator[None]:
    """Make random transforms a function of the key alone.

    The process's own generators are left as they were, so that the number of
    workers changes neither the data nor the model's randomness.
    """
    python_state, numpy_state = random.getstate(), np.random.get_state()
    words = np.random.SeedSequence(key).generate_state(2)
    random.seed(int(words[0]))
    np.random.seed(int(words[1]))
    try:
        yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)
