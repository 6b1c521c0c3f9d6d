# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""A trained network on images, folders, videos and a page to try it on."""
