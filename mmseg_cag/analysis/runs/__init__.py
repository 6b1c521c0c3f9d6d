# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""What a run has left: its config, its checkpoints, its data."""
