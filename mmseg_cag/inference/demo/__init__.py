# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Run a trained network on images, folders, videos or a web page."""
