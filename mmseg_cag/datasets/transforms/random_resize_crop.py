# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from typing import NamedTuple

import mmcv
import numpy as np
from mmcv.transforms import BaseTransform, Resize
from mmseg.registry import TRANSFORMS
from PIL import Image

from mmseg_cag.errors import UserError

# Pixels to extend a window by, to find an edge exact in float32.
SLACK = 16


class Span(NamedTuple):
    """One axis of a window: pixels [start, stop) of a resized axis.

    Attributes:
        size: Pixels of the axis before resizing.
        resized: Pixels after resizing.
        start: First pixel of the window, after resizing.
        stop: One past the last pixel.
    """

    size: int
    resized: int
    start: int
    stop: int

    @property
    def scale(self) -> float:
        """Return the number of source pixels per resized pixel."""
        return self.size / self.resized

    def nearest(self) -> np.ndarray:
        """Compute the source pixel of each window pixel (Pillow's nearest).

        Pillow resizes the indices themselves, so ties between source pixels
        resolve as in a resized label.

        Returns:
            int32 (stop - start,).
        """
        indices = Image.fromarray(np.arange(self.size, dtype=np.int32)[None])
        resized = indices.resize((self.resized, 1), Image.Resampling.NEAREST)
        return np.asarray(resized)[0, self.start : self.stop]

    def cut(self) -> Cut:
        """Compute the source part that the window depends on."""
        support = max(self.scale, 1.0)  # support of Pillow's bilinear filter
        lowest = max(self.start - SLACK, 0)
        first = max(int(lowest * self.scale - support), 0)
        before = np.arange(self.start, lowest - 1, -1)
        after = np.arange(self.stop, min(self.stop + SLACK, self.resized) + 1)
        begin, end = self._best(before, first), self._best(after, first)
        last = min(int(np.ceil(end * self.scale + support)), self.size)
        return Cut(
            source=slice(first, last),
            box=(begin * self.scale - first, end * self.scale - first),
            count=end - begin,
            window=slice(self.start - begin, self.stop - begin),
        )

    def _best(self, edges: np.ndarray, first: int) -> int:
        """Choose the edge whose source position float32 represents best."""
        places = edges * self.scale - first
        return int(edges[np.abs(places - np.float32(places)).argmin()])


class Cut(NamedTuple):
    """One axis of Pillow's input and output.

    Attributes:
        source: Source pixels to read.
        box: Start and end of the resized part, in pixels of the source part.
        count: Pixels after resizing.
        window: Window within these.
    """

    source: slice
    box: tuple[float, float]
    count: int
    window: slice


# legend: H W source, h w window


def resize_window(image: np.ndarray, rows: Span, columns: Span) -> np.ndarray:
    """Resize like Pillow (bilinear), computing only the window.

    Equals the window of the resized frame except for rounding: Pillow uses
    float32 edges, and a weight error of 1e-7 can flip the rounding of a half.
    The window is therefore extended by a few pixels, later cropped, to edges
    that float32 represents well.

    Args:
        image: uint8 (H, W, 3); only the source rows and columns of the
            window are read.
        rows: The window's rows.
        columns: The window's columns.

    Returns:
        uint8 (h, w, 3).
    """
    down, across = rows.cut(), columns.cut()
    part = Image.fromarray(image[down.source, across.source])
    # Always rows first: Pillow chooses the order by size, and the two orders
    # round differently.
    for size, box in (
        (
            (across.count, part.height),
            (across.box[0], 0, across.box[1], part.height),
        ),
        (
            (across.count, down.count),
            (0, down.box[0], across.count, down.box[1]),
        ),
    ):
        part = part.resize(size, Image.Resampling.BILINEAR, box)
    return np.asarray(part)[down.window, across.window]


def nearest_window(
    labels: np.ndarray, rows: Span, columns: Span
) -> np.ndarray:
    """Resize like Pillow (nearest), computing only the window.

    Args:
        labels: Any type (H, W).
        rows: The window's rows.
        columns: The window's columns.

    Returns:
        The same type (h, w), equal to the window of the resized map.
    """
    return labels[rows.nearest()].take(columns.nearest(), axis=1)


# Number of attempts of mmseg's RandomCrop for cat_max_ratio.
ATTEMPTS = 10


@TRANSFORMS.register_module()
class RandomResizeCrop(BaseTransform):
    """Combined RandomResize and RandomCrop that computes only the window.

    Draws the same random numbers in the same order as
    ``RandomResize(scale, ratio_range, keep_ratio=True)`` and
    ``RandomCrop(crop_size, cat_max_ratio)``, and resizes like these with
    ``backend='pillow'``: the image bilinear with antialiasing, labels by
    nearest pixel centre. As there, an axis shorter than the crop after
    resizing is kept whole. Reads only the window's part of ``img`` and of the
    ``seg_fields``, if any.

    Args:
        scale: Width and height that the frame is fitted into at ratio 1.
        ratio_range: Smallest and largest factor of ``scale``.
        crop_size: Height and width of the window.
        cat_max_ratio: Redraw the window, at most ten times, while one class
            has this share of the labels or more. Without labels the first
            window is used.
        ignore_index: Label to ignore.
        frame_size: Nominal width and height of every frame. Replaces a
            preceding ``Resize`` to that size: a frame of another size is
            resized once instead of twice, to the same final size.

    Raises:
        UserError: The ratios or the crop size are not positive or in order.
    """

    def __init__(
        self,
        scale: tuple[int, int],
        ratio_range: tuple[float, float],
        crop_size: tuple[int, int],
        cat_max_ratio: float = 1.0,
        ignore_index: int = 255,
        frame_size: tuple[int, int] | None = None,
    ) -> None:
        if not 0 < ratio_range[0] <= ratio_range[1]:
            raise UserError(
                f'RandomResizeCrop: ratio_range={ratio_range}, expected two '
                'positive factors, the lesser first'
            )
        if min(crop_size) < 1:
            raise UserError(
                f'RandomResizeCrop: crop_size={crop_size}, expected a '
                'positive height and width'
            )
        self.scale = scale
        self.ratio_range = ratio_range
        self.crop_size = crop_size
        self.cat_max_ratio = cat_max_ratio
        self.ignore_index = ignore_index
        self.frame_size = frame_size

    def transform(self, results: dict) -> dict:
        """Replace image and labels by the same random window.

        Args:
            results: The sample.

        Raises:
            UserError: A label map differs in size from the image.
        """
        self._check_sizes(results)
        scale, rows, columns = self.draw(results)
        results['img'] = resize_window(results['img'], rows, columns)
        for key in results.get('seg_fields', []):
            results[key] = nearest_window(results[key], rows, columns)
        results['img_shape'] = results['img'].shape[:2]
        results['scale'] = scale
        results['scale_factor'] = (
            columns.resized / columns.size,
            rows.resized / rows.size,
        )
        results['keep_ratio'] = True
        return results

    def draw(self, results: dict) -> tuple[tuple[int, int], Span, Span]:
        """Draw a window.

        Args:
            results: The sample.

        Returns:
            Width and height that the frame is fitted into, and the window's
            rows and columns.

        Raises:
            UserError: The image is too narrow for the scale.
        """
        height, width = size = results['img'].shape[:2]
        low, high = self.ratio_range
        ratio = np.random.random_sample() * (high - low) + low
        scale = tuple(int(side * ratio) for side in self.scale)
        frame = self.frame_size or (width, height)
        resized = mmcv.rescale_size(frame, scale)[::-1]
        if min(resized) < 1:
            raise UserError(
                f'{results.get("img_path")}: {height} x {width} pixels, none '
                f'are left at scale={scale}'
            )
        window = self._draw_spans(size, resized)
        if self.cat_max_ratio < 1 and 'gt_seg_map' in results:
            for _ in range(ATTEMPTS):
                labels = nearest_window(results['gt_seg_map'], *window)
                if is_varied(labels, self.cat_max_ratio, self.ignore_index):
                    break
                window = self._draw_spans(size, resized)
        return scale, *window

    @staticmethod
    def _check_sizes(results: dict) -> None:
        size = results['img'].shape[:2]
        for key in results.get('seg_fields', []):
            if results[key].shape != size:
                raise UserError(
                    f'{results.get("seg_map_path")}: expected the size of its '
                    f'image, {size}, found {results[key].shape}'
                )

    def _draw_spans(
        self, size: tuple[int, int], resized: tuple[int, int]
    ) -> list[Span]:
        spans = []
        for old, new, crop in zip(size, resized, self.crop_size, strict=True):
            start = np.random.randint(0, max(new - crop, 0) + 1)
            spans.append(Span(old, new, start, min(start + crop, new)))
        return spans


def is_varied(
    labels: np.ndarray, most: float, ignore_index: int = 255
) -> bool:
    """Whether every class is below a share of the labelled pixels."""
    classes, counts = np.unique(labels, return_counts=True)
    counts = counts[classes != ignore_index]
    return len(counts) > 1 and counts.max() / counts.sum() < most


@TRANSFORMS.register_module()
class ResizeLabel(Resize):
    """Resize only the label (nearest), not the image.

    CLAN scales images randomly but not labels, whose size the losses use: a
    ``Resize`` before loading the label handles the image, and this transform
    the label.

    Args:
        scale: Width and height of the label.
        keep_ratio: Whether to fit the label into ``scale``.
        backend: ``cv2`` or ``pillow``, which differ in the nearest pixel.
    """

    def transform(self, results: dict) -> dict:
        """Resize ``gt_seg_map``, (H, W) uint8."""
        results['scale'] = self.scale
        self._resize_seg(results)
        return results
