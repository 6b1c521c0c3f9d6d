# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""The report's charts, each a fragment of HTML that plotly draws."""
