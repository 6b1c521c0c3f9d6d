# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import pytest
from mmseg.models import SegDataPreProcessor

from mmseg_cag.models.data_preprocessor import swaps_channels


@pytest.mark.parametrize('swaps', [True, False])
def test_it_is_told_of_either_mmseg(swaps):
    assert swaps_channels(SegDataPreProcessor(bgr_to_rgb=swaps)) is swaps
