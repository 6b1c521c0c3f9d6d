# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Checks without decoding, also done before every run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from mmseg.datasets import BaseSegDataset

from mmseg_cag.datasets.inspection.dataset_inputs import DatasetInput
from mmseg_cag.datasets.inspection.finding import Finding, Level
from mmseg_cag.datasets.inspection.headers import check_headers
from mmseg_cag.errors import UserError

from .consistency import check_names
from .folders import check_folders, check_images, check_labels

Progress = Callable[[Iterable, int], Iterable]


def quick_checks(
    reading: DatasetInput, workers: int, progress: Progress | None = None
) -> Iterator[Finding]:
    """Check folders, names, pairs and the header of every file.

    Args:
        reading: The data set.
        workers: Threads that open files.
        progress: Wraps the headers to show progress.
    """
    listing = list(_check_listing(reading))
    yield from listing
    faults = {
        finding.name
        for finding in listing
        if finding.kind.level is Level.ERROR and not finding.kind.of_file
    }
    if faults <= {'wrong suffix'}:
        # With another suffix every label would be missing.
        labelled = reading.labelled and not faults
        yield from _check_all_headers(reading, labelled, workers, progress)


def _check_listing(reading: DatasetInput) -> Iterator[Finding]:
    if not isinstance(reading.dataset, BaseSegDataset):
        return
    try:
        yield from _check_folders(reading)
    except (UserError, OSError) as error:  # such as a damaged zip file
        yield Finding('unreadable folder', reading.key, str(error))
    # Wrong settings can raise anything in the classes.
    except Exception as error:
        problem = f'{type(error).__name__}: {error}'
        yield Finding('broken config', reading.key, problem)


def _check_folders(reading: DatasetInput) -> Iterator[Finding]:
    for finding in check_folders(reading):
        yield finding
        if finding.kind.level is Level.ERROR:
            return
    try:
        reading.dataset.full_init()
    except (AssertionError, OSError, ValueError) as error:
        yield Finding('broken config', reading.key, str(error))
        return
    yield from check_images(reading)
    if reading.samples:
        yield from check_names(reading)
        if reading.labelled:
            yield from check_labels(reading)


def _check_all_headers(
    reading: DatasetInput,
    labelled: bool,
    workers: int,
    progress: Progress | None,
) -> Iterator[Finding]:
    check = partial(
        _check_one,
        labels=reading.labels,
        labelled=labelled,
        sizes=reading.sizes,
        backend_args=getattr(reading.dataset, 'backend_args', None),
    )
    with ThreadPoolExecutor(workers) as pool:
        checked = pool.map(check, reading.samples)
        if progress:
            checked = progress(checked, len(reading.samples))
        for findings in checked:
            yield from findings


def _check_one(sample: dict, **how: object) -> list[Finding]:
    return list(check_headers(sample, **how))
