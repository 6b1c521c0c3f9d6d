# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np
from mmengine.config import Config
from mmengine.dist import barrier, is_main_process
from mmseg.datasets import BaseSegDataset
from mmseg.registry import DATASETS
from PIL import Image

from mmseg_cag.datasets.dataset_configs import require_images
from mmseg_cag.datasets.transforms.load_translated_image import METADATA
from mmseg_cag.engine.records.provenance import provenance_of
from mmseg_cag.errors import UserError
from mmseg_cag.fileio.atomic import atomic_path
from mmseg_cag.fileio.checkpoints import checkpoint_hash
from mmseg_cag.fileio.json_file import read_json
from mmseg_cag.fileio.safe_load import read_checkpoint
from mmseg_cag.models.segmentors.base import bare_model
from mmseg_cag.models.student import check_weights
from mmseg_cag.models.translation.image_translator import ImageTranslator
from mmseg_cag.workflows.output_folder import (
    OutputFolder,
    build_runner,
    pending_batches,
)

# legend: H W image


class ImageFolder(OutputFolder):
    """A folder of translated images that is written atomically."""

    metadata, content = METADATA, 'translated images'

    def write(self, name: str, image: np.ndarray) -> None:
        """Write a BGR image (H, W, 3) uint8 to the draft atomically."""
        path = self.file(name)
        _, data = cv2.imencode(path.suffix, image)
        with atomic_path(path) as draft:
            draft.write_bytes(data)

    def describe(self, names: Iterable[str]) -> dict:
        """Count the images of the draft by size, and hash their names."""
        names = list(names)
        return {
            'images': len(names),
            'names_sha256': names_hash(names),
            'sizes': dict(Counter(self._size(name) for name in names)),
        }

    def _size(self, name: str) -> str:
        with Image.open(self.draft / name) as image:
            return f'{image.width}x{image.height}'


def names_hash(names: Iterable[str]) -> str:
    """Compute the SHA-256 of the names of files, in alphabetical order."""
    return hashlib.sha256(
        '\n'.join(sorted(names)).encode(errors='surrogateescape')
    ).hexdigest()


PREFIX = 'generators.target.'


def load_generator(model: ImageTranslator, checkpoint: str | Path) -> None:
    """Load the generator that translates to the target.

    Args:
        model: Receives the weights.
        checkpoint: Checkpoint of a translator's run.

    Raises:
        MissingFileError: The file does not exist.
        UserError: It is damaged, or belongs to another network.
    """
    state = read_checkpoint(checkpoint)['state_dict']
    weights = {
        key.removeprefix(PREFIX): value
        for key, value in state.items()
        if key.startswith(PREFIX)
    }
    generator = model.generators['target']
    check_weights(generator, weights, checkpoint)
    generator.load_state_dict(weights)


LOADER = 'translate_dataloader'


def translate_images(
    cfg: Config,
    checkpoint: str | Path,
    out: str | Path,
    batch_size: int | None = None,
) -> dict:
    """Translate all source images to the target style, once.

    Args:
        cfg: The config of the translator's run, with ``work_dir`` and
            ``launcher``; ``translate_dataloader`` reads the images. Every rank
            calls this.
        checkpoint: The translator's weights.
        out: The output folder, with the layout of the image folder.
        batch_size: Batch size, instead of the config's.

    Returns:
        The metadata of the folder.

    Raises:
        MissingFileError: The checkpoint does not exist.
        UserError: The folder contains something else, or the config, its
            images or the checkpoint cannot be used.
    """
    out, images = Path(out), _source_images(cfg)
    # The checkpoint's hash implies the segmentor used in its training.
    model = dict(cfg.model, perceptual=None)
    origin = {
        'checkpoint_sha256': checkpoint_hash(checkpoint),
        'model': model,
        'images': images,
    }
    folder = ImageFolder(out, origin)
    if folder.is_complete():
        return read_json(out / METADATA)
    stripped = cfg.copy()
    stripped.model = model
    runner = build_runner(stripped, 'translated_images', out)
    translator = bare_model(runner)
    load_generator(translator, checkpoint)
    # All ranks must check before any of them writes.
    barrier()
    if is_main_process():
        folder.begin()
    barrier()
    dataset = DATASETS.build(images)
    names = image_names(dataset)
    translator.eval()
    batches = pending_batches(
        runner,
        dataset,
        [folder.has(name) for name in names.values()],
        'Translate',
        batch_size=batch_size or cfg[LOADER].batch_size,
        num_workers=cfg[LOADER].num_workers,
    )
    for batch in batches:
        for path, image in translate_batch(translator, batch):
            folder.write(names[path], image)
    if is_main_process():
        made = {
            'checkpoint': str(checkpoint),
            'provenance': provenance_of(cfg),
        }
        folder.finish(made | folder.describe(names.values()))
    barrier()
    return read_json(out / METADATA)


def image_names(dataset: BaseSegDataset) -> dict[str, str]:
    """Name each image relative to its folder, to find its label.

    Returns:
        Path of each image -> its name, with ``/`` between folders.
    """
    root = f'{dataset.data_prefix["img_path"].rstrip("/")}/'
    paths = [dataset.get_data_info(i)['img_path'] for i in range(len(dataset))]
    return {path: path.removeprefix(root) for path in paths}


def _source_images(cfg: Config) -> dict:
    """Return the config of the images to translate."""
    images, key = cfg.get(LOADER, {}).get('dataset'), f'{LOADER}.dataset'
    require_images(images, key)
    if 'data_prefix' not in images:
        raise UserError(
            f'{key}: {images.type} combines data sets, expected a single one '
            'with data_prefix.img_path'
        )
    return images


def translate_batch(
    model: ImageTranslator, batch: dict
) -> Iterator[tuple[str, np.ndarray]]:
    """Translate a collated batch, images of one size together.

    Yields:
        Path of each image, and its translation, BGR (H, W, 3) uint8.
    """
    pairs = list(zip(batch['inputs'], batch['data_samples'], strict=True))
    for shape in {image.shape for image, _ in pairs}:
        images, samples = zip(
            *(pair for pair in pairs if pair[0].shape == shape), strict=True
        )
        made = model.translate_source(
            {'inputs': list(images), 'data_samples': list(samples)}
        )
        for sample, image in zip(samples, made, strict=True):
            yield sample.img_path, image.permute(1, 2, 0).cpu().numpy()
