# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Label files: their ids, formats and class names."""
