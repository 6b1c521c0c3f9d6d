# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Safe reading and atomic writing of files."""
