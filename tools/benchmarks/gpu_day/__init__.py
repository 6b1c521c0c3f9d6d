# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""What is measured in a few minutes on a GPU, each part in its own process."""
