# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Monitor a deployed network for domain shift.

Needs only numpy and onnxruntime; the command reads files with OpenCV.
"""

from .card import Card
from .watch import Look, Watch

__all__ = ['Card', 'Look', 'Watch']
