# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Parts of check_gap.py."""
