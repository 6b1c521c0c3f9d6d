# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from mmengine.config import Config
from mmseg.datasets import BaseSegDataset
from mmseg.registry import DATASETS
from mmseg.structures import SegDataSample
from torch import Tensor, nn

from mmseg_cag.datasets.dataset_configs import require_images
from mmseg_cag.errors import UserError
from mmseg_cag.workflows.pseudo_labels.target_images import target_images

# legend: H W image


class Sample(NamedTuple):
    """An image as a dataset's pipeline returns it.

    Attributes:
        image: Input of the preprocessor (3, H, W).
        data: Its data sample.
    """

    image: Tensor
    data: SegDataSample

    @property
    def truth(self) -> Tensor:
        """Return the label (H, W) int64.

        Raises:
            UserError: The pipeline reads no label.
        """
        if not self.has_truth:
            raise UserError(
                f'{self.data.img_path}: its data set reads no label, '
                'expected a pipeline with a step that does'
            )
        return self.data.gt_sem_seg.data.squeeze(0).long()

    @property
    def has_truth(self) -> bool:
        """Return whether the pipeline reads a label."""
        return 'gt_sem_seg' in self.data


def build_dataset(cfg: dict | None, key: str) -> BaseSegDataset:
    """Build a dataset and check that it has images.

    Args:
        cfg: Its config.
        key: Its config key, for the error.

    Raises:
        MissingFileError: Its folder does not exist.
        UserError: The config is missing, or there is no image.
    """
    require_images(cfg, key)
    return DATASETS.build(cfg)


def target_dataset(cfg: Config) -> BaseSegDataset:
    """Build the target's validation set; without one, its training images.

    Raises:
        MissingFileError: Its folder does not exist.
        UserError: The config has neither.
    """
    loader = cfg.get('val_dataloader')
    if loader:
        return build_dataset(loader.get('dataset'), 'val_dataloader.dataset')
    return build_dataset(target_images(cfg), 'the target')


def source_dataset(cfg: Config) -> BaseSegDataset:
    """Build the labelled source without augmentation.

    Raises:
        MissingFileError: Its folder does not exist.
        UserError: The config has none.
    """
    dataset = (cfg.get('anchor_dataloader') or {}).get('dataset')
    return build_dataset(dataset, 'anchor_dataloader.dataset')


def read_samples(
    dataset: BaseSegDataset, indices: list[int]
) -> Iterator[Sample]:
    """Read images of a data set.

    Raises:
        UserError: An image or its label cannot be read.
    """
    for index in indices:
        try:
            sample = dataset[index]
        except UserError:
            raise
        # On files that are no images, readers raise various errors.
        except (
            OSError,
            AssertionError,
            AttributeError,
            SyntaxError,
            KeyError,
        ) as error:
            path = dataset.get_data_info(index)['img_path']
            raise UserError(
                f'{path}: the image or its label cannot be read '
                f'({type(error).__name__})'
            ) from error
        yield Sample(sample['inputs'], sample['data_samples'])


def preprocess(preprocessor: nn.Module, sample: Sample) -> Tensor:
    """Normalise an image.

    Args:
        preprocessor: Preprocessor of its domain.
        sample: The image.

    Returns:
        The batch (1, 3, H, W) float32 on the preprocessor's device.
    """
    batch = dict(inputs=[sample.image], data_samples=[sample.data])
    return preprocessor(batch)['inputs']
