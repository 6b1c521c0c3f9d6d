# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""GPU measurements of a few minutes, each part in its own process."""
