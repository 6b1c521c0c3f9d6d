# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Binary segmentation: a head with one sigmoid output as two classes.

The softmax of scores (0, z) for background and foreground is (1 - sigmoid(z),
sigmoid(z)), and their cross entropy is the binary one of z. So methods need no
special case.
"""

from __future__ import annotations

import torch
from mmseg.models.losses import CrossEntropyLoss
from mmseg.models.losses.cross_entropy_loss import cross_entropy
from torch import Tensor, nn

from mmseg_cag.errors import UserError

# legend: N images, h w score map


def two_class_scores(scores: Tensor) -> Tensor:
    """Turn sigmoid scores (N, 1, h, w) into scores of two classes.

    Scores of several classes are returned unchanged.
    """
    if scores.shape[1] > 1:
        return scores
    return torch.cat([torch.zeros_like(scores), scores], dim=1)


def count_two_classes(head: nn.Module, key: str) -> None:
    """Turn a head with one output into a two-class head, losses included.

    Args:
        head: A decode or auxiliary head, changed in place.
        key: Config key of the head, for the error.

    Raises:
        UserError: It does not have exactly one classifier.
    """
    if not hasattr(head, 'conv_seg') or hasattr(head, 'pixel_losses'):
        raise UserError(
            f'{key}: {type(head).__name__} has out_channels=1, one sigmoid, '
            'expected num_classes=2 without out_channels, or a head that '
            'classifies by conv_seg once'
        )
    head.num_classes = 2
    terms = head.loss_decode
    for term in terms if isinstance(terms, nn.ModuleList) else [terms]:
        if isinstance(term, CrossEntropyLoss) and term.use_sigmoid:
            # Same values, but no error if no pixel is labelled.
            term.use_sigmoid = False
            term.cls_criterion = cross_entropy
