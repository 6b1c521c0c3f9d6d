# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Label curves: mIoU by number of labelled target images."""
