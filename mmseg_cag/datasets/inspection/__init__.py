# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""The parts of the data check that training needs, too."""
