# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""What happens where a stage begins."""
