# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Labels that a network gives a whole data set, kept where it is sure."""
