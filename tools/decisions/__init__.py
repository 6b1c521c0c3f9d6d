# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""What certify.py, select_images.py and check_gap.py share."""
