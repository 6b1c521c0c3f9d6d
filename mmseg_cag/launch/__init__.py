# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Start a run: its chain, its lock, its resume."""
