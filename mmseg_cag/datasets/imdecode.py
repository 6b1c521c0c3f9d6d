# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import cv2
import numpy as np


def imdecode(content: bytes, flags: int) -> np.ndarray | None:
    """Decode an image by OpenCV.

    Args:
        content: The bytes of the file.
        flags: Those of ``cv2.imdecode``.

    Returns:
        The image, or None if it is none, whatever OpenCV makes of it: it
        refuses an empty buffer, or a size beyond its limit, in many lines.
    """
    if not content:
        return None
    try:
        return cv2.imdecode(np.frombuffer(content, np.uint8), flags)
    except cv2.error:
        return None
