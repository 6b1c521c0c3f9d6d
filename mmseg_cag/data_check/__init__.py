# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Data check: finds faults in the data before training."""
