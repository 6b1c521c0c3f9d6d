# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Checkpoints, results and the log of a run."""
