# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator


def fingerprint(samples: Iterable[dict]) -> dict:
    """Compute a fingerprint of files from their names and sizes.

    Names are relative to the common folder; for zip members only names count.
    No file is opened.

    Args:
        samples: Samples with ``img_path`` and, if labelled, ``seg_map_path``.

    Returns:
        Number of files, bytes and a hash.
    """
    samples = list(samples)
    digest, count, size = hashlib.sha256(), 0, 0
    for key in ('img_path', 'seg_map_path'):
        paths = sorted({s[key] for s in samples if s.get(key)})
        for name, number in _names_and_sizes(paths):
            digest.update(
                f'{name} {number}\n'.encode(errors='surrogateescape')
            )
            count, size = count + 1, size + number
    return dict(files=count, bytes=size, sha256=digest.hexdigest())


def _names_and_sizes(paths: Iterable[str]) -> Iterator[tuple[str, int]]:
    root = os.path.dirname(os.path.commonprefix(list(paths)))
    for path in paths:
        try:
            size = os.stat(path).st_size
        except OSError:  # in a zip file, or bad and skipped by training
            size = 0
        yield path.removeprefix(root), size
