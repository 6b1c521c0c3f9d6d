# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import pytest
from mmseg.models import SegDataPreProcessor

from mmseg_cag.models.data_preprocessor import converts_bgr_to_rgb


@pytest.mark.parametrize('swaps', [True, False])
def test_it_is_told_of_either_mmseg(swaps):
    assert converts_bgr_to_rgb(SegDataPreProcessor(bgr_to_rgb=swaps)) is swaps
