# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""How a step is computed: memory order, precision, processes."""
