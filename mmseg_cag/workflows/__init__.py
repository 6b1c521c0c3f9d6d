# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Jobs over a whole dataset, and loops of several runs."""
