# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Use trained networks: demo and export."""
