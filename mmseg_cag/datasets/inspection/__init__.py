# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Parts of the data check that training also uses."""
