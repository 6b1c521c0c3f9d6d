# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from mmseg.models import SegDataPreProcessor


def swaps_channels(preprocessor: SegDataPreProcessor) -> bool:
    """Tell whether a preprocessor turns BGR into RGB, or back.

    mmsegmentation 1.2.2 and its continuation keep it under different names.
    """
    names = ('_channel_conversion', 'channel_conversion')
    return any(getattr(preprocessor, name, False) for name in names)
