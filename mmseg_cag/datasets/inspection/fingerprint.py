# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator

from mmengine import fileio

from mmseg_cag.fileio.zip_backend import ZipBackend


def fingerprint(samples: Iterable[dict]) -> dict:
    """Compute a fingerprint of files from their names and sizes.

    Names are relative to the common folder; for zip members only names count.
    No file is opened.

    Args:
        samples: Samples with ``img_path`` and, if labelled, ``seg_map_path``.

    Returns:
        Number of files, bytes, a hash, and a hash of the samples' order.
    """
    samples = list(samples)
    digest, order = hashlib.sha256(), hashlib.sha256()
    count, size = 0, 0
    for key in ('img_path', 'seg_map_path'):
        listed = [s[key] for s in samples if s.get(key)]
        paths = sorted({*listed})
        names = {}
        for path, name, number in _names_and_sizes(paths):
            names[path] = name.encode(errors='surrogateescape')
            digest.update(names[path] + f' {number}\n'.encode())
            count, size = count + 1, size + number
        order.update(b'\n'.join(names[path] for path in listed) + b'\n\n')
    return dict(
        files=count,
        bytes=size,
        sha256=digest.hexdigest(),
        order=order.hexdigest(),
    )


def version(path: str, backend_args: dict | None = None) -> int:
    """Return a number that changes when a file is replaced by an equal size.

    Args:
        path: The file.
        backend_args: Arguments of mmengine's file backend.

    Returns:
        A zip member's checksum, a local file's time of change, or 0.
    """
    backend = fileio.get_file_backend(
        path, backend_args=backend_args, enable_singleton=True
    )
    if isinstance(backend, ZipBackend):
        return backend.checksum(path)
    try:
        return os.stat(path).st_mtime_ns
    except OSError:  # remote, or bad and skipped by training
        return 0


def _names_and_sizes(paths: Iterable[str]) -> Iterator[tuple[str, str, int]]:
    root = os.path.dirname(os.path.commonprefix(list(paths)))
    for path in paths:
        try:
            size = os.stat(path).st_size
        except OSError:  # in a zip file, or bad and skipped by training
            size = 0
        yield path, path.removeprefix(root), size
