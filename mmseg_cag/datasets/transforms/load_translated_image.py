# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import os
from pathlib import Path

from mmcv.transforms import Resize
from mmengine import fileio
from mmseg.datasets import BaseSegDataset
from mmseg.registry import TRANSFORMS

from mmseg_cag.datasets.label_formats import WRITTEN_SUFFIX
from mmseg_cag.errors import MissingFileError, UserError
from mmseg_cag.fileio.json_file import read_json

from .loading import LoadImageOnDemand

# Metadata file of a translated folder: origin and number of images.
METADATA = 'translated_images.json'


@TRANSFORMS.register_module()
class LoadTranslatedImage(LoadImageOnDemand):
    """Load a source image translated to the target's style.

    The dataset's images are translated, its labels original. The checks before
    a run therefore require an image for every label, and allow an image to be
    a scaled copy of the label's frame if a later transform resizes both to one
    size.
    """

    def transform(self, results: dict) -> dict:
        """Add ``img`` to the sample, marked as possibly scaled."""
        results['translated'] = True
        return super().transform(results)

    def check(self, dataset: BaseSegDataset) -> None:
        """Check that the translated images of a dataset are complete.

        Args:
            dataset: The dataset with this transform in its pipeline.

        Raises:
            MissingFileError: A label has no image.
            UserError: They do not match the folder's metadata.
        """
        if dataset.ann_file or dataset._indices is not None:
            return  # a subset, whose images are listed by name
        images = {
            dataset.get_data_info(index)['img_path']
            for index in range(len(dataset))
        }
        wanted = [_image_of(label, dataset) for label in _labels(dataset)]
        missing = [path for path in wanted if path not in images]
        if missing:
            raise MissingFileError(
                f'{missing[0]}: translated image not found; of {len(wanted)} '
                f'labels in {dataset.data_prefix["seg_map_path"]}, '
                f'{len(missing)} have none'
            )
        _check_metadata(
            Path(dataset.data_prefix['img_path'], METADATA), len(images)
        )


def _check_metadata(path: Path, found: int) -> None:
    if not path.is_file():
        return  # images from elsewhere
    metadata = read_json(path)
    if metadata.get('images') != found:
        raise UserError(
            f'{path}: lists {metadata.get("images", "unfinished")} images, '
            f'found {found}'
        )


def is_translated(dataset: BaseSegDataset) -> bool:
    """Return whether a dataset's images are translated."""
    pipeline = getattr(dataset, 'pipeline', None)
    steps = getattr(pipeline, 'transforms', ())
    return any(isinstance(step, LoadTranslatedImage) for step in steps)


def may_be_scaled(dataset: BaseSegDataset) -> bool:
    """Return whether images may differ in size from their labels.

    Translated ones may if a `Resize` to a fixed size makes them equal.
    """
    return is_translated(dataset) and any(
        isinstance(step, Resize) and not step.keep_ratio
        for step in dataset.pipeline.transforms
    )


def _labels(dataset: BaseSegDataset) -> list[str]:
    """List the label files, relative to their folder, in order."""
    suffix = dataset.seg_map_suffix
    names = fileio.list_dir_or_file(
        dataset.data_prefix['seg_map_path'],
        list_dir=False,
        suffix=suffix,
        recursive=True,
        backend_args=dataset.backend_args,
    )
    converted = WRITTEN_SUFFIX
    if suffix.endswith(converted):
        return sorted(names)
    return sorted(name for name in names if not name.endswith(converted))


def _image_of(label: str, dataset: BaseSegDataset) -> str:
    stem = label.removesuffix(dataset.seg_map_suffix)
    folder = dataset.data_prefix['img_path']
    return os.path.join(folder, f'{stem}{dataset.img_suffix}')
