# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Finished runs: reports, figures, tables, model selection."""
