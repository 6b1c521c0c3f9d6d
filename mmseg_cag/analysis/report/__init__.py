# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""A run as one HTML file: what it did, in figures and in pictures."""
