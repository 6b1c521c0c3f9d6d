# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Category anchors and the computations on them."""

from .anchor_bank import AnchorBank
from .domain_anchor_bank import DomainAnchorBank
from .pseudo_label_head import PseudoLabelHead

__all__ = ['AnchorBank', 'DomainAnchorBank', 'PseudoLabelHead']
