# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Code shared by certify.py, select_images.py and check_gap.py."""
