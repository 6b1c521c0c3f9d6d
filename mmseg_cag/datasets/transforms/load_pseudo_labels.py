# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmengine import fileio
from mmengine.structures import PixelData
from mmseg.datasets import BaseSegDataset, PackSegInputs
from mmseg.registry import TRANSFORMS

from mmseg_cag.datasets.pseudo_label_metadata import find_metadata
from mmseg_cag.errors import MissingFileError, UserError
from mmseg_cag.fileio.images import read_index

# legend: H W image


@TRANSFORMS.register_module()
class LoadPseudoLabels(BaseTransform):
    """Load pseudo labels from disk.

    Adds ``pseudo_seg_map``, uint8 (H, W), which spatial transforms process,
    too. Only folders with the metadata of ``tools/make_pseudo_labels.py`` are
    accepted, so ground truth cannot be loaded by mistake.
    """

    def transform(self, results: dict) -> dict:
        """Add ``pseudo_seg_map`` to the sample.

        Args:
            results: The sample; ``seg_map_path`` names the label, and
                ``img_shape`` is the size of the prediction.

        Raises:
            UserError: The file is not a pseudo label of this image.
        """
        path = _path_of(results)
        metadata = find_metadata(Path(path).parent)
        try:
            labels = read_index(path)
        except (OSError, SyntaxError) as error:
            raise UserError(
                f'{path}: not a readable image ({error})'
            ) from error
        size, expected = labels.shape, results['img_shape'][:2]
        if size != expected:
            raise UserError(
                f'{path}: is {size[1]}x{size[0]}, the image '
                f'{expected[1]}x{expected[0]}; put the Resize used for '
                'prediction before LoadPseudoLabels'
            )
        wrong = (labels >= len(metadata['classes'])) & (
            labels != metadata['ignore_index']
        )
        if wrong.any():
            raise UserError(
                f'{path}: has the id {labels[wrong][0]}, but there are '
                f'{len(metadata["classes"])} classes'
            )
        # Pillow's array is read-only, which transforms do not expect.
        results['pseudo_seg_map'] = np.array(labels)
        results['seg_fields'].append('pseudo_seg_map')
        return results

    def check(self, dataset: BaseSegDataset) -> None:
        """Check the pseudo labels of a dataset before training.

        Args:
            dataset: The dataset with this transform in its pipeline.

        Raises:
            MissingFileError: An image has no label.
            UserError: They are not pseudo labels or have other classes.
        """
        classes = list(dataset.metainfo['classes'])
        for index in range(len(dataset)):
            path = _path_of(dataset.get_data_info(index))
            if not fileio.isfile(path):
                raise MissingFileError(f'{path}: pseudo label not found')
            labelled = list(find_metadata(Path(path).parent)['classes'])
            if labelled != classes:
                raise UserError(
                    f'{path}: the pseudo labels have the classes {labelled}, '
                    f'expected those of the data set, {classes}'
                )


def _path_of(sample: dict) -> str:
    if sample.get('seg_map_path') is None:
        raise UserError(
            'LoadPseudoLabels: data_prefix.seg_map_path is not set, expected '
            'a folder of tools/make_pseudo_labels.py'
        )
    return sample['seg_map_path']


@TRANSFORMS.register_module()
class PackPseudoSegInputs(PackSegInputs):
    """Pack an image, and its pseudo labels as ``pseudo_sem_seg``.

    Ground truth stays ``gt_sem_seg``, which `UDADataset` refuses for a target.
    """

    def transform(self, results: dict) -> dict:
        """Pack the sample.

        Args:
            results: The sample, with ``img`` and ``pseudo_seg_map``.

        Raises:
            UserError: It has no pseudo labels, or a transform changed only the
                image.
        """
        labels = results.get('pseudo_seg_map')
        if labels is None:
            raise UserError(
                'PackPseudoSegInputs: no LoadPseudoLabels before it'
            )
        if labels.shape != results['img'].shape[:2]:
            raise UserError(
                f'PackPseudoSegInputs: an image of {results["img"].shape[:2]} '
                f'has pseudo labels of {labels.shape}: an earlier transform '
                'ignores results["seg_fields"]'
            )
        packed = super().transform(results)
        data = torch.from_numpy(labels.astype('int64'))[None]
        packed['data_samples'].pseudo_sem_seg = PixelData(data=data)
        return packed
