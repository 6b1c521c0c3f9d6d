# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Report on a run as one HTML file with charts and images."""
