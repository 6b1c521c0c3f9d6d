# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Read a run's config, checkpoints and data."""
