# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console

from mmseg_cag.data_check.report import Report, show
from tests.doctor import check, gta_config


@pytest.mark.parametrize(('width', 'tables'), [(80, 5), (300, 1)])
def test_no_class_is_cut_in_a_narrow_log(town, width, tables):
    source = check(gta_config(town)).parts[0]
    out = StringIO()
    show(Report([source] * 5, []), Console(file=out, width=width))
    text = out.getvalue()
    assert '…' not in text.partition('Classes')[2]
    assert text.count('Classes in decoded samples') == tables
    assert text.count('source: ids') == 5
    assert text.count('traffic light') == tables
