# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""What the next labelled image buys: runs with more and more of them."""
