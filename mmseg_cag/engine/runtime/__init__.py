# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Runtime settings: memory order, compilation, seeds, processes."""
