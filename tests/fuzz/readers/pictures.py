# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Valid image files as bytes."""

from __future__ import annotations

from io import BytesIO

import cv2
import numpy as np
from PIL import Image

from tests import tiny


def scene() -> tuple[np.ndarray, np.ndarray]:
    """Draw an image (H, W, 3) and its train ids (H, W)."""
    return tiny.draw_scene(np.random.default_rng(0))


def encoded(array: np.ndarray, kind: str = 'PNG', **options: object) -> bytes:
    """Encode an image by Pillow."""
    stream = BytesIO()
    Image.fromarray(array).save(stream, kind, **options)
    return stream.getvalue()


def palette(ids: np.ndarray) -> bytes:
    """Encode ids as the index of a palette."""
    stream = BytesIO()
    label = Image.fromarray(ids, mode='P')
    label.putpalette([(37 * i + 91) % 256 for i in range(3 * 256)])
    label.save(stream, 'PNG')
    return stream.getvalue()


def wide(array: np.ndarray) -> bytes:
    """Encode an image of 16 bits."""
    return cv2.imencode('.png', array.astype(np.uint16))[1].tobytes()
