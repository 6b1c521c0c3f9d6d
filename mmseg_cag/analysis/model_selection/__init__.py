# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Scores of checkpoints that need no target label."""
