# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""The data check: faults of data, found before a run is lost."""
