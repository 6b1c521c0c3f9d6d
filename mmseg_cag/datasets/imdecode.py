# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from io import BytesIO

import cv2
import numpy as np
from PIL import Image


def imdecode(content: bytes, flags: int) -> np.ndarray | None:
    """Decode an image by OpenCV.

    Args:
        content: The bytes of the file.
        flags: Those of ``cv2.imdecode``.

    Returns:
        The image, or None if it is none, whatever OpenCV makes of it: it
        refuses an empty buffer, or a size beyond its limit, in many lines.
    """
    if not content or _is_bomb(content):
        return None
    try:
        return cv2.imdecode(np.frombuffer(content, np.uint8), flags)
    except cv2.error:
        return None


def _is_bomb(content: bytes) -> bool:
    """Tell whether a header claims more pixels than Pillow would decode.

    OpenCV would take seconds and gigabytes for them.
    """
    try:
        Image.open(BytesIO(content)).close()
    except Image.DecompressionBombError:
        return True
    except Exception:  # of no kind that Pillow knows, so OpenCV decides
        return False
    return False
