# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Rare class sampling: draws a class and an image with it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from logging import WARNING
from pathlib import Path
from typing import NamedTuple

import numpy as np
from mmengine.dist import broadcast_object_list, is_main_process
from mmengine.logging import print_log
from mmseg.registry import DATA_SAMPLERS
from torch.utils.data import Dataset

from mmseg_cag.errors import UserError
from mmseg_cag.fileio.json_file import read_json, write_json
from mmseg_cag.progress import track

from .inspection.dataset_inputs import (
    DatasetInput,
    dataset_inputs,
    sample_rows,
)
from .inspection.fingerprint import fingerprint, version
from .wanted import Wanted, exceeds

# legend: I images, K classes

INDEX_FOLDER = Path('work_dirs', 'class_pixels')


@DATA_SAMPLERS.register_module()
class RareClassOrder:
    """Endless draws of a class, rarer ones more often, and an image of it.

    Draws with replacement depend only on the seed and the position. Classes
    without any eligible image are not drawn; unless requested in ``classes``,
    they are logged once.

    Args:
        dataset: The labelled dataset; several as a ``ConcatDataset``. One
            that is repeated counts as often.
        seed: Seed of the draws.
        temperature: Temperature of the distribution; higher is more uniform.
        min_share: Pixel share above which an image is eligible for a class.
        classes: Names of the classes to draw; None for all.
        index: File with pixels per class and image, written if missing or
            older than the labels. None names it by the data, in
            ``work_dirs/class_pixels``.

    Raises:
        UserError: A setting is out of range, the index is of other data, or a
            requested class is unknown or in no image.

    Source: DAFormer Sec. 3.3, Eqs. 5 and 6, as released.
    """

    def __init__(
        self,
        dataset: Dataset,
        seed: int,
        temperature: float = 0.01,
        min_share: float = 3000 / (1914 * 1052),
        classes: Sequence[str] | None = None,
        index: str | None = None,
    ) -> None:
        if not temperature > 0:
            raise UserError(
                f'RareClassOrder: temperature={temperature}, expected a '
                'positive number'
            )
        if not 0 <= min_share < 1:
            raise UserError(
                f'RareClassOrder: min_share={min_share}, expected a share of '
                'the image, from 0 to 1'
            )
        self.seed = seed
        rows = sample_rows(dataset)
        pixels = shared_index(dataset, index)
        pixels = ClassPixels(pixels.counts[rows], pixels.sizes[rows])
        names = list(dataset.metainfo['classes'])
        self.eligible = eligible_images(pixels, min_share)
        drawable = self._drawable(names, classes, min_share)
        self.probability = class_probability(
            pixels.counts.sum(0), temperature, drawable
        )

    def _drawable(
        self, names: list[str], classes: Sequence[str] | None, share: float
    ) -> np.ndarray:
        has_image = self.eligible.any(0)
        absent = [
            n for n, has in zip(names, has_image, strict=True) if not has
        ]
        for name in classes or ():
            if name not in names or name in absent:
                raise UserError(
                    f'RareClassOrder: classes names {name!r}, which no image '
                    f'has on more than {share:.2%} of its pixels, expected '
                    'some of ' + ', '.join(n for n in names if n not in absent)
                )
        if not has_image.any():
            raise UserError(
                f'RareClassOrder: min_share={share}, but no image has more of '
                'any class, expected a smaller share'
            )
        if absent and classes is None:
            print_log(
                f'No image has more than {share:.2%} of {", ".join(absent)}: '
                'RareClassOrder does not draw them',
                logger='current',
                level=WARNING,
            )
        chosen = names if classes is None else classes
        return has_image & np.isin(names, chosen)

    def __getitem__(self, position: int) -> Wanted:
        """Draw the class and image at a position, from 0."""
        rng = np.random.default_rng((self.seed, position))
        category = int(rng.choice(len(self.probability), p=self.probability))
        images = np.flatnonzero(self.eligible[:, category])
        return Wanted(int(rng.choice(images)), category)


class ClassPixels(NamedTuple):
    """Pixel counts of a dataset's labels.

    Attributes:
        counts: Pixels of each class in each image (I, K).
        sizes: All pixels of each image, including void (I,).
    """

    counts: np.ndarray
    sizes: np.ndarray


def class_probability(
    counts: np.ndarray, temperature: float, drawable: np.ndarray | None = None
) -> np.ndarray:
    """Compute the probability of drawing each class.

    Args:
        counts: Pixels of each class (K,); void ones are of none.
        temperature: Of the distribution.
        drawable: Classes to draw (K,) bool; None for those with a pixel.

    Returns:
        float64 (K,), summing to 1.
    """
    if drawable is None:
        drawable = counts > 0
    rarity = (1 - counts / counts.sum()) / temperature
    # Before the exponential: it overflows for classes rarer than these.
    rarity = np.where(drawable, rarity, -np.inf)
    weight = np.exp(rarity - rarity.max())
    return weight / weight.sum()


def eligible_images(pixels: ClassPixels, min_share: float) -> np.ndarray:
    """Mark the images with more than a share of each class, bool (I, K)."""
    return exceeds(pixels.counts, min_share, pixels.sizes[:, None])


def shared_index(dataset: Dataset, path: str | None) -> ClassPixels:
    """Read or create the index on one rank for all.

    Raises:
        UserError: On all ranks, if that fails.
    """
    found: list = [None]
    if is_main_process():
        try:
            found[0] = class_pixels(dataset, path)
        except UserError as error:
            found[0] = error
    broadcast_object_list(found)
    if isinstance(found[0], UserError):
        raise found[0]
    return found[0]


def class_pixels(dataset: Dataset, path: str | None) -> ClassPixels:
    """Read the index of a dataset, or create and write it.

    Its rows are the images of the parts, none repeated.
    """
    parts = dataset_inputs(dataset, 'dataset', 'source')
    for part in parts:
        if part.labels is None:
            raise UserError(
                f'RareClassOrder: {part.kind} reads no labels, expected the '
                'order of a labelled domain'
            )
    data, state = identity_of(parts)
    file = Path(path) if path else INDEX_FOLDER / f'{data[:16]}.json'
    if file.is_file():
        images = sum(len(part.samples) for part in parts)
        pixels = _read(file, data, state, images)
        if pixels is not None:
            return pixels
    pixels = count_pixels(parts)
    note = dict(data=data, state=state, sizes=pixels.sizes.tolist())
    write_json(file, note | dict(counts=pixels.counts.tolist()))
    return pixels


def _read(
    file: Path, data: str, state: str, images: int
) -> ClassPixels | None:
    """Read the index; None if labels or their order changed since."""
    note = read_json(file)
    if note.get('data') != data:
        raise UserError(
            f'RareClassOrder: index={file} is of other data or classes, '
            f'expected that of these {images} images; remove it to recreate it'
        )
    if note.get('state') != state:
        return None
    try:
        pixels = ClassPixels(
            np.array(note['counts'], np.int64).reshape(images, -1),
            np.array(note['sizes'], np.int64).reshape(images),
        )
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise UserError(
            f'RareClassOrder: index={file} is damaged, expected the pixels of '
            f'each class in {images} images; remove it to recreate it'
        ) from error
    return pixels


def identity_of(parts: list[DatasetInput]) -> tuple[str, str]:
    """Hash the data and the way they are read; order and label versions."""
    data, state = [], []
    for part in parts:
        files = fingerprint(part.samples)
        classes = sorted(class_of_id(part).items())
        data.append((files['sha256'], part.classes, classes))
        args = getattr(part.dataset, 'backend_args', None)
        versions = [version(s['seg_map_path'], args) for s in part.samples]
        state.append((files['order'], versions))
    return tuple(
        sha256(repr(told).encode()).hexdigest() for told in (data, state)
    )


def class_of_id(part: DatasetInput) -> dict[int, int]:
    """Map each raw id of the label files to its class."""
    number = len(part.classes)
    return {i: c for i, c in part.class_of_id.items() if c < number}


def count_pixels(parts: list[DatasetInput]) -> ClassPixels:
    """Count pixels in all label files, with a progress display."""
    jobs = [(part, sample) for part in parts for sample in part.samples]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        rows = pool.map(lambda job: _count(*job), jobs)
        title = 'Counting pixels of classes'
        counts, sizes = zip(*track(rows, title, len(jobs)), strict=True)
    return ClassPixels(np.stack(counts), np.array(sizes))


def _count(part: DatasetInput, sample: dict) -> tuple[np.ndarray, int]:
    counts = np.zeros(len(part.classes), np.int64)
    try:
        ids = part.labels.read_ids(sample['seg_map_path'])
    except UserError:
        if part.skips:  # training uses another image
            return counts, 1
        raise
    if ids.dtype.itemsize > 2:  # colours
        found, numbers = np.unique(ids, return_counts=True)
    else:
        numbers = np.bincount(ids.ravel())
        found = range(len(numbers))
    classes = class_of_id(part)
    for raw, number in zip(found, numbers, strict=True):
        if int(raw) in classes:
            counts[classes[int(raw)]] += number
    return counts, ids.size
