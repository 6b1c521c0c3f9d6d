# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""What select_images.py is made of."""
