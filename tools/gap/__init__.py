# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""What check_gap.py is made of."""
