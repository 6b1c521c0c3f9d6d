# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Signals and losses that are not finite."""
