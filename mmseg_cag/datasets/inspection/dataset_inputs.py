# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from mmseg.datasets import BaseSegDataset

from mmseg_cag.datasets.transforms.load_translated_image import (
    is_translated,
    may_be_scaled,
)
from mmseg_cag.errors import UserError

from .label_reader import MMSEG_IGNORED, LabelReader, label_reader


@dataclass
class DatasetInput:
    """A dataset as a run reads it.

    Args:
        key: Its config key.
        role: Role as in `LOADERS`; `source` or `target` when training on both.
        dataset: The data set, without wrappers.
        labelled: Whether its labels are opened; the pipeline's if None.
        skips: Whether training skips its bad files.
        absent: Names of classes that a pool states it does not label.
        again: Further config keys of the same data.
    """

    key: str
    role: str
    dataset: BaseSegDataset
    labelled: bool | None = None
    skips: bool = False
    absent: tuple[str, ...] = ()
    again: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.labelled is None:
            self.labelled = self.labels is not None

    @cached_property
    def labels(self) -> LabelReader | None:
        """Return the pipeline's transform that reads labels."""
        return label_reader(self.dataset)

    @cached_property
    def sizes(self) -> str:
        """Return the allowed size difference; see `check_headers`."""
        if is_translated(self.dataset):
            return 'scaled' if may_be_scaled(self.dataset) else 'equal'
        fits = getattr(self.labels, 'fits_image', False)
        return 'resized' if fits else 'equal'

    @cached_property
    def samples(self) -> list[dict[str, Any]]:
        """Return `img_path` and `seg_map_path` of every sample."""
        return [
            self.dataset.get_data_info(i) for i in range(len(self.dataset))
        ]

    @property
    def classes(self) -> list[str]:
        """Return the class names seen by the network."""
        return list(self.dataset.metainfo.get('classes') or ())

    @cached_property
    def class_of_id(self) -> dict[int, int]:
        """Map each raw id of the label files to its class, unless ignored."""
        chosen = self.dataset.label_map or {}
        found = {
            int(raw): int(chosen.get(train_id, train_id))
            for raw, train_id in self.labels.train_ids.items()
        }
        return {i: c for i, c in found.items() if c != MMSEG_IGNORED}

    @property
    def kind(self) -> str:
        """Return the name of the dataset's type."""
        return type(self.dataset).__name__

    def folder(self, prefix: str) -> str | None:
        """Return the folder of `img_path` or `seg_map_path`."""
        return self.dataset.data_prefix.get(prefix) or None

    @property
    def is_subset(self) -> bool:
        """Whether the config deliberately reads part of the folder."""
        dataset = self.dataset
        split = getattr(dataset, 'split', None)
        return (
            bool(dataset.ann_file)
            or split is not None
            or dataset._indices is not None
        )


def dataset_inputs(
    dataset: Any, key: str, role: str, labelled: bool | None = None
) -> list[DatasetInput]:
    """List the datasets inside a built dataset or wrapper.

    Args:
        dataset: A dataset of mmseg, an mmengine wrapper or a `UDADataset`.
        key: Its config key, for messages.
        role: Its role in the run.
        labelled: Whether its labels are opened; the pipelines' if None.
    """
    if hasattr(dataset, 'domains'):
        return [
            reading
            for name, part in dataset.domains.items()
            for reading in dataset_inputs(
                part,
                f'{key}.domains.{name}',
                name,
                None if name in dataset.labelled else False,
            )
        ]
    if hasattr(dataset, 'datasets'):
        if hasattr(dataset, 'names'):  # a pool of domains
            return _members(dataset, key, role, labelled)
        return [
            reading
            for index, part in enumerate(dataset.datasets)
            for reading in dataset_inputs(
                part, f'{key}.datasets.{index}', role, labelled
            )
        ]
    if hasattr(dataset, 'dataset'):
        within = dataset_inputs(
            dataset.dataset, f'{key}.dataset', role, labelled
        )
        for reading in within:
            reading.skips |= getattr(dataset, 'skips_bad_files', False)
        return within
    return [DatasetInput(key, role, dataset, labelled)]


def sample_rows(dataset: Any) -> np.ndarray:
    """Find each sample in the joined samples of all `dataset_inputs`.

    Args:
        dataset: A dataset of mmseg or an mmengine wrapper, which may repeat
            its samples.

    Returns:
        Their indices there (I,), int.

    Raises:
        UserError: A wrapper selects samples in an unknown way.
    """
    if hasattr(dataset, 'datasets'):
        found, start = [], 0
        for part in dataset.datasets:
            found.append(start + sample_rows(part))
            start = found[-1].max() + 1
        return np.concatenate(found)
    total = len(dataset)
    if not hasattr(dataset, 'dataset'):
        return np.arange(total)
    rows = sample_rows(dataset.dataset)
    if hasattr(dataset, 'repeat_indices'):  # ClassBalancedDataset
        return rows[dataset.repeat_indices]
    times, rest = divmod(total, len(rows))
    if rest or not times:
        raise UserError(
            f'{type(dataset).__name__}: has {total} samples of {len(rows)} '
            'images, expected each image equally often, as in RepeatDataset'
        )
    return np.tile(rows, times)


def _members(
    pool: Any, key: str, role: str, labelled: bool | None
) -> list[DatasetInput]:
    found = []
    for name, part in zip(pool.names, pool.datasets, strict=True):
        place = f'{key}.members.{name}'
        for reading in dataset_inputs(part, place, role, labelled):
            reading.absent = tuple(pool.stated_absent.get(name, ()))
            found.append(reading)
    return found
