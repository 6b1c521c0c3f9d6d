# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""BDL's loop: translator, translated images, network, pseudo labels."""
