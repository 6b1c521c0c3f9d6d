# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np

from mmseg_cag.fileio.array_cache import ArrayCache
from mmseg_cag.workflows.pseudo_labels.select_confident import PredictionStore

from . import pictures
from .reader import Reader

FILE = 'entry'
SOURCE = '/nowhere/a.png'  # told by its name alone


def readers(scratch: Path) -> Iterator[Reader]:
    """The readers of what was computed before."""
    image, labels = pictures.scene()
    cache = ArrayCache(str(scratch / 'cache'))
    cache.get(SOURCE, 'image', lambda: image)
    entry = cache._entry(SOURCE, 'image')
    stream = BytesIO()
    np.savez_compressed(
        stream, labels=labels, confidences=np.ones(labels.shape, np.float32)
    )
    objects = BytesIO()
    np.save(objects, np.array([{}], object), allow_pickle=True)
    yield Reader(
        'caches',
        'input cache',
        str(entry.relative_to(scratch)),
        [entry.read_bytes(), objects.getvalue()],
        lambda folder: np.array(
            ArrayCache(str(folder / 'cache')).get(
                SOURCE, 'image', lambda: image
            )
        ),
    )
    yield Reader(
        'caches',
        'predictions',
        'a.png.npz',
        [stream.getvalue(), objects.getvalue()],
        lambda folder: PredictionStore(folder, 0.9).read('a.png'),
    )
