# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
from mmseg.registry import DATASETS
from torch.utils.data import Dataset

from mmseg_cag.errors import UserError

from .dataset_configs import require_images
from .skip_bad_files import SkipBadFiles, load_or_stop


@DATASETS.register_module()
class UDADataset(Dataset):
    """Data sets of several domains, of which an item has one sample each.

    An item is ``{'inputs': {'source': image, 'target': image},
    'data_samples': {same}}``, images uint8 (3, H, W), which mmengine's
    ``pseudo_collate`` turns into lists by domain. The pipeline of an
    unlabelled domain has no step that loads labels; a sample of it with a
    label is refused.

    Args:
        domains: Config of the data set of each domain, by name, of any mmseg
            class. The first gives the length, the last the palette.
        labelled: Names of the domains whose labels are read.
        skip_bad_files: Whether another sample, drawn by the key, stands in
            for one that cannot be read; else such a file ends the run.

    Raises:
        UserError: There is no domain, one is empty, a labelled one has no
            data set, or the classes differ.
    """

    def __init__(
        self,
        domains: dict[str, dict],
        labelled: Sequence[str] = ('source',),
        skip_bad_files: bool = False,
    ) -> None:
        if not domains:
            raise UserError(
                'UDADataset: domains is empty, expected data sets by name, '
                'such as source and target'
            )
        for name in labelled:
            if name not in domains:
                raise UserError(
                    f'UDADataset: labelled names {name}, expected one of the '
                    f'domains {", ".join(domains)}'
                )
        self.labelled = tuple(labelled)
        self.domains = {
            name: build_domain(name, cfg, skip_bad_files)
            for name, cfg in domains.items()
        }
        self._require_equal_classes()

    def _require_equal_classes(self) -> None:
        (first, one), *others = self.domains.items()
        for name, dataset in others:
            classes = [list(d.metainfo['classes']) for d in (one, dataset)]
            if classes[0] != classes[1]:
                raise UserError(
                    f'UDADataset: {first} and {name} must have the same '
                    f'classes, got {classes[0]} and {classes[1]}'
                )

    @property
    def metainfo(self) -> dict:
        """Classes and palette, which the domains share."""
        return list(self.domains.values())[-1].metainfo

    def __len__(self) -> int:
        """Images of the first domain: the sampler draws the others."""
        return len(next(iter(self.domains.values())))

    def __getitem__(self, item: tuple[tuple[int, int], dict]) -> dict:
        """Load one sample of each domain.

        Args:
            item: (key, index of each domain by name), as `UDASampler` yields
                it; random transforms are a function of the key alone.

        Raises:
            UserError: A file is bad, or an unlabelled domain has a label.
        """
        key, indices = item
        with seeded_transforms(key):
            samples = {
                name: load_or_stop(self.domains[name], index, key)
                for name, index in indices.items()
            }
        for name, sample in samples.items():
            unlabelled = name not in self.labelled
            if unlabelled and 'gt_sem_seg' in sample['data_samples']:
                raise UserError(
                    f'UDADataset: the pipeline of {name} loads labels, '
                    'expected one without LoadLabelIds or LoadAnnotations, '
                    f'or {name} among labelled'
                )
        return {
            part: {name: sample[part] for name, sample in samples.items()}
            for part in ('inputs', 'data_samples')
        }


def build_domain(name: str, cfg: dict, skip_bad_files: bool) -> Dataset:
    """Build the data set of a domain.

    Raises:
        UserError: It is missing or empty.
    """
    require_images(cfg, f'UDADataset: {name}')
    dataset = DATASETS.build(cfg)
    return SkipBadFiles(dataset) if skip_bad_files else dataset


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
