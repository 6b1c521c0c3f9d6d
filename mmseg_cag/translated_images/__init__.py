# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""The source's images as a translator makes them look like the target's."""
