# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Pseudo labels of a whole dataset, on disk."""
