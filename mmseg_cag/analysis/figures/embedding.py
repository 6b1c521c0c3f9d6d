# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mmseg_cag.errors import MissingFileError

# legend: P points, C feature channels


def embed(parts: Sequence[np.ndarray], seed: int = 0) -> list[np.ndarray]:
    """Lay out points of several arrays together in the plane by t-SNE.

    One embedding for all, so that their positions can be compared. It starts
    from the principal components and is the same each time.

    Args:
        parts: Arrays (P, C) of features.
        seed: What remains random.

    Returns:
        Positions (P, 2) of each array's points, around 0 and within 1.

    Raises:
        MissingFileError: scikit-learn is not installed.
    """
    try:
        from sklearn.decomposition import PCA
        from sklearn.manifold import TSNE
    except ModuleNotFoundError as error:
        raise MissingFileError(
            'scikit-learn is not installed: pip install scikit-learn'
        ) from error
    points = np.concatenate(parts).astype(np.float64)
    components = min(30, *points.shape)
    points = PCA(components, random_state=seed).fit_transform(points)
    layout = TSNE(
        perplexity=min(30, (len(points) - 1) / 3),
        init='pca',
        random_state=seed,
    ).fit_transform(points)
    layout -= layout.mean(0)
    layout /= np.abs(layout).max()
    ends = np.cumsum([len(part) for part in parts])
    return np.split(layout, ends[:-1])
