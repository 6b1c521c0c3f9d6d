# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""A watch in production: does a network still see what it was adapted to?

On numpy and onnxruntime alone; the command reads files by OpenCV.
"""

from .card import Card
from .watch import Look, Watch

__all__ = ['Card', 'Look', 'Watch']
