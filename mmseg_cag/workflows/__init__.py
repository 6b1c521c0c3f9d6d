# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Work over a whole data set, and loops of several runs."""
