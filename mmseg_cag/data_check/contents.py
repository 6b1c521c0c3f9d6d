# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Checks of decoded samples and class counts of their labels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from mmengine import fileio
from mmseg.datasets import CityscapesDataset

from mmseg_cag.datasets.inspection.dataset_inputs import DatasetInput
from mmseg_cag.datasets.inspection.finding import Finding, Level
from mmseg_cag.datasets.inspection.label_reader import (
    LabelReader,
    advise_on_unknown_ids,
    show_ids,
)
from mmseg_cag.errors import UserError
from mmseg_cag.fileio.images import decode_image
from mmseg_cag.stack import process_context

from .consistency import never_drawn
from .folders import publisher_of

SEED = 0  # of the sample, so that two runs check the same files
FEW = 8  # samples per dataset that are decoded before every run
NO_CLASS = 'no class in the labels'
CHUNK = 4  # samples per task of a process
# Like `read_image`, but keeps 16 bits.
IMREAD = cv2.IMREAD_COLOR | cv2.IMREAD_ANYDEPTH
LOST_BITS = 8  # of 16 when reading an image
DARK_BITS = 14  # of 16: images using fewer end up in a quarter of 0..255


@dataclass(frozen=True)
class Content:
    """Content of a sample.

    Args:
        path: Its label, or its image if it has no label.
        findings: Its faults.
        ids: Pixels of each raw id.
        bits: Bits used by a 16-bit image; else None.
    """

    path: str
    findings: tuple[Finding, ...] = ()
    ids: dict[int, int] = field(default_factory=dict)
    bits: int | None = None


def spread(
    samples: Sequence[dict], count: int | None, seed: int
) -> list[dict]:
    """Draw samples evenly over a dataset, one per segment.

    Args:
        samples: All samples, in order.
        count: Number to draw; all if None or too large.
        seed: Seed of the draws.
    """
    if count is None or count >= len(samples):
        return list(samples)
    edges = np.linspace(0, len(samples), count + 1).astype(int)
    draw = np.random.default_rng(seed).integers
    return [
        samples[draw(low, high)]
        for low, high in zip(edges[:-1], edges[1:], strict=True)
    ]


def decode_all(
    samples: Sequence[dict],
    labels: LabelReader | None,
    backend_args: dict | None,
    workers: int,
) -> Iterator[Content]:
    """Decode images and labels, in order.

    Args:
        samples: ``img_path`` and ``seg_map_path`` of each.
        labels: Transform that reads labels; None skips them.
        backend_args: Arguments of mmengine's file backend.
        workers: Number of processes.
    """
    work = partial(decode, labels=labels, backend_args=backend_args)
    with _mapper(min(workers, len(samples))) as run:
        yield from run(work, samples)


@contextmanager
def _mapper(workers: int) -> Iterator[Iterable]:
    if workers <= 1:
        yield map
        return
    with ProcessPoolExecutor(workers, process_context(), _one_thread) as pool:
        yield partial(pool.map, chunksize=CHUNK)


def _one_thread() -> None:
    # Files are already split over processes; threads would only compete.
    cv2.setNumThreads(0)


def decode(
    sample: dict, labels: LabelReader | None, backend_args: dict | None
) -> Content:
    """Decode one image and its label.

    Args:
        sample: ``img_path`` and ``seg_map_path``.
        labels: Transform that reads labels; None skips the label.
        backend_args: Arguments of mmengine's file backend.
    """
    path = sample['img_path']
    findings, bits = [], None
    try:
        raw = fileio.get(path, backend_args=backend_args)
        image = decode_image(raw, path, IMREAD)
        if image.dtype == np.uint16:
            bits = int(image.max()).bit_length()
    except (UserError, OSError) as error:
        reason = str(error).removeprefix(f'{path}: ')
        findings.append(Finding('unreadable file', path, reason))
    if labels is None:
        return Content(path, tuple(findings), bits=bits)
    path = sample['seg_map_path']
    try:
        ids = _count(labels.read_ids(path))
    except (UserError, OSError, SyntaxError) as error:
        reason = str(error).removeprefix(f'{path}: ')
        findings.append(Finding('unreadable file', path, reason))
        return Content(path, tuple(findings), bits=bits)
    unknown = sorted(ids.keys() - labels.train_ids.keys() - labels.void_ids)
    if unknown:
        names = show_ids(labels, unknown)
        problem = f'neither a class nor a known void: {names}'
        advice = advise_on_unknown_ids(labels)
        findings.append(Finding('unknown ids', path, problem, advice))
    return Content(path, tuple(findings), ids, bits)


def check_depth(folder: str, contents: Sequence[Content]) -> Iterator[Finding]:
    """Check that 16-bit images, read with 8 bits, are not too dark."""
    bits = [c.bits for c in contents if c.bits is not None]
    if bits and max(bits) <= DARK_BITS:
        yield Finding(
            'dark images',
            folder,
            f'16-bit images use only {max(bits)} bits, so the upper 8, which '
            'are read, have values below '
            f'{2 ** max(max(bits) - LOST_BITS, 0)} of 256',
        )


def _count(ids: np.ndarray) -> dict[int, int]:
    """Count the pixels of each id of a map (H, W)."""
    if ids.dtype not in (np.uint8, np.uint16):
        values, counts = np.unique(ids, return_counts=True)
        return dict(zip(values.tolist(), counts.tolist(), strict=True))
    size = np.iinfo(ids.dtype).max + 1
    ids = np.ascontiguousarray(ids)
    counts = cv2.calcHist([ids], [0], None, [size], [0, size]).ravel()
    return {int(i): int(counts[i]) for i in np.flatnonzero(counts)}


@dataclass
class Histogram:
    """Pixel and image counts by id, before and after mapping.

    Args:
        ids: Pixels of each raw id.
        pixels: Pixels of each class, by its index.
        images: Number of images with each class, by its index.
    """

    ids: Counter[int] = field(default_factory=Counter)
    pixels: Counter[int] = field(default_factory=Counter)
    images: Counter[int] = field(default_factory=Counter)


def choose(
    reading: DatasetInput, findings: Iterable[Finding], count: int | None
) -> list[dict]:
    """Choose evenly spaced samples to decode, without known bad files."""
    bad = {f.where for f in findings if f.kind.level is Level.ERROR}
    good = [
        sample
        for sample in reading.samples
        if bad.isdisjoint((sample['img_path'], sample.get('seg_map_path')))
    ]
    return spread(good, count, SEED)


def check_contents(
    reading: DatasetInput,
    samples: Sequence[dict],
    workers: int,
    show: Callable[[Iterable], Iterable] = iter,
) -> tuple[list[Finding], Histogram | None]:
    """Decode samples and check them and their classes.

    Args:
        reading: The data set.
        samples: Samples to decode.
        workers: Number of processes.
        show: Wraps the iteration to show progress.

    Returns:
        The faults, and the labels' histogram or None without labels.
    """
    labels = reading.labels if reading.labelled else None
    backend_args = getattr(reading.dataset, 'backend_args', None)
    contents = list(show(decode_all(samples, labels, backend_args, workers)))
    findings = [f for content in contents for f in content.findings]
    findings += check_depth(reading.folder('img_path'), contents)
    if labels is None:
        return findings, None
    histogram = count_classes(reading, contents)
    findings += check_classes_seen(reading, histogram, len(contents))
    return findings, histogram


def check_few(
    reading: DatasetInput, findings: Iterable[Finding]
) -> list[Finding]:
    """Check a few samples; all of them if all labels are void.

    Args:
        reading: The data set.
        findings: Known faults of its files.
    """
    for count in (FEW, None):
        found, _ = check_contents(
            reading, choose(reading, findings, count), workers=1
        )
        if all(finding.name != NO_CLASS for finding in found):
            break
    return found


def count_classes(
    reading: DatasetInput, contents: Iterable[Content]
) -> Histogram:
    """Sum the class counts of decoded labels as seen by the network."""
    classes = reading.class_of_id
    histogram = Histogram()
    for content in contents:
        seen = Counter()
        for raw, pixels in content.ids.items():
            if raw in classes:
                seen[classes[raw]] += pixels
        histogram.ids.update(content.ids)
        histogram.pixels.update(seen)
        histogram.images.update(seen.keys())
    return histogram


def check_classes_seen(
    reading: DatasetInput, histogram: Histogram, read: int
) -> Iterator[Finding]:
    """Check that each class was seen, except those stated to be absent.

    Args:
        reading: The data set.
        histogram: Histogram of its labels.
        read: Number of labels read.
    """
    folder = reading.folder('seg_map_path')
    unseen = [
        name
        for index, name in enumerate(reading.classes)
        if not histogram.pixels[index]
    ]
    if not histogram.pixels:
        yield Finding(NO_CLASS, folder, f'all void in {read} labels')
        return
    labelled = [
        index
        for index, name in enumerate(reading.classes)
        if name in reading.absent and histogram.pixels[index]
    ]
    for index in labelled:
        yield Finding(
            'absent class labelled',
            folder,
            f'{histogram.images[index]} of {read} labels have '
            f'{reading.classes[index]}, which the DomainPool states to be '
            'absent',
        )
    known = _known_absent(reading)
    groups = {
        'class never seen': [name for name in unseen if name not in known],
        'class known to be absent': [n for n in unseen if n in known],
    }
    for fault, names in groups.items():
        if names:
            yield Finding(
                fault,
                folder,
                f'no pixel of {", ".join(names)} in {read} of '
                f'{len(reading.samples)} labels',
            )


def _known_absent(reading: DatasetInput) -> set[str]:
    publisher = publisher_of(reading.dataset)
    with_ids = set(reading.class_of_id.values())
    known = {*reading.absent, *(publisher.absent if publisher else ())}.union(
        name for i, name in enumerate(reading.classes) if i not in with_ids
    )
    drawn = never_drawn(Path(reading.folder('img_path')))
    return known | {CityscapesDataset.METAINFO['classes'][i] for i in drawn}
