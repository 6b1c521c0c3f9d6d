# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import math
from typing import Any

import torch
from mmengine.model import BaseModule
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.models.utils import resize
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import Tensor

from mmseg_cag.errors import UserError
from mmseg_cag.models.losses.head_loss import head_loss
from mmseg_cag.models.two_scales import FusedScores, TwoScales, fuse_scales

# legend: N images, K classes, H W image, h w feature map

# Attributes that other code reads from a head.
SHARED = ('align_corners', 'ignore_index', 'num_classes', 'out_channels')


@MODELS.register_module()
class HRDAHead(BaseModule):
    """Any head, applied to context and details of an `HRDABackbone`.

    An attention predicted from the context's features fuses both scores. The
    loss is the head's loss on the fused scores, plus a tenth of it on the
    detail.

    Args:
        head: Type of the head.
        attention_channels: Width of the attention.
        attention_classwise: Whether each class has its own.
        fixed_attention: Constant share of the detail instead of an attention.
        detail_weight: Weight of the loss on the detail.
        context_weight: Weight of the loss on the context. The fused scores get
            the rest.
        **kwargs: Arguments of the head.

    Raises:
        UserError: A share or weight is outside 0..1, or both weights together
            exceed 1.

    Source: HRDA Sec. 3.3, as released.
    """

    predict = BaseDecodeHead.predict
    predict_by_feat = BaseDecodeHead.predict_by_feat
    loss = BaseDecodeHead.loss

    def __init__(
        self,
        head: str,
        attention_channels: int = 256,
        attention_classwise: bool = True,
        fixed_attention: float | None = None,
        detail_weight: float = 0.1,
        context_weight: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__()
        shares = dict(
            fixed_attention=fixed_attention or 0,
            detail_weight=detail_weight,
            context_weight=context_weight,
        )
        for name, share in shares.items():
            if not 0 <= share <= 1:
                raise UserError(
                    f'model.decode_head.{name}={share}, expected a share in '
                    '0..1'
                )
        if detail_weight + context_weight > 1:
            raise UserError(
                f'model.decode_head.detail_weight={detail_weight} and '
                f'context_weight={context_weight}, expected at most 1 together'
            )
        self.head = MODELS.build(dict(kwargs, type=head))
        for name in SHARED:
            setattr(self, name, getattr(self.head, name))
        self.threshold = self.head.threshold
        self.fixed_attention = fixed_attention
        self.detail_weight = detail_weight
        self.context_weight = context_weight
        maps = self.out_channels if attention_classwise else 1
        if fixed_attention is None:
            self.scale_attention = MODELS.build(
                attention_config(self.head, attention_channels, maps)
            )

    def forward(self, scales: TwoScales) -> Tensor | FusedScores:
        """Compute fused class scores (N, K, h, w), or all when training.

        Raises:
            UserError: The backbone is not an `HRDABackbone`.
        """
        if not isinstance(scales, TwoScales):
            raise UserError(
                'model.decode_head: HRDAHead needs both scales, expected '
                "model.backbone.type='HRDABackbone', with a neck inside it"
            )
        context = self.head(scales)
        _require_places(scales, context)
        detail = self.head(scales.detail)
        if self.fixed_attention is None:
            attention = resize(
                self.scale_attention(scales),
                context.shape[-2:],
                mode='bilinear',
                align_corners=False,
            ).sigmoid()
        else:
            attention = torch.full_like(context, self.fixed_attention)
        fused, rest = fuse_scales(context, detail, attention, scales)
        if self.training:
            return FusedScores(fused, rest, detail, scales.boxes[0])
        rows, columns = (
            math.ceil(side * seen / whole)
            for side, seen, whole in zip(
                fused.shape[-2:], scales.seen, scales.size, strict=True
            )
        )
        return fused[..., :rows, :columns]

    def pixel_losses(
        self,
        scores: FusedScores,
        labels: Tensor,
        weight: Tensor | None = None,
        absent: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Compute the losses at all scales.

        Args:
            scores: Of `forward`.
            labels: Labels (N, H, W) int64.
            weight: Weights of the pixels (N, H, W).
            absent: Classes to exclude, bool (N, K, H, W).
        """
        box, rest = scores.box, 1 - self.detail_weight - self.context_weight
        whole = labels, weight, absent
        detail = [None if maps is None else box.cut(maps) for maps in whole]
        terms = (
            ('', scores.fused, whole, rest),
            ('context.', scores.context, whole, self.context_weight),
            ('detail.', scores.detail, detail, self.detail_weight),
        )
        losses = {}
        for name, own, truth, share in terms:
            if share == 0:
                continue
            for key, value in head_loss(self.head, own, *truth).items():
                scaled = value * share if 'loss' in key else value
                losses[name + key] = scaled
        return losses

    def loss_by_feat(
        self, scores: FusedScores, samples: list[SegDataSample]
    ) -> dict[str, Tensor]:
        """Compute the losses for a stock segmentor."""
        labels = torch.cat([sample.gt_sem_seg.data for sample in samples])
        return self.pixel_losses(scores, labels)

    def adopt(self, state: dict, prefix: str) -> None:
        """Load the weights of a single-scale head into this one.

        The attention, which such a head lacks, keeps its weights.

        Args:
            state: State of a checkpoint, changed in place if it is
                single-scale.
            prefix: Prefix of the head's keys.
        """
        names = [
            key
            for name in self.head.state_dict()
            if (key := prefix + name) in state
        ]
        if not names:
            return
        for key in names:
            name = key.removeprefix(prefix)
            state[f'{prefix}head.{name}'] = state.pop(key)
        for name, value in self.state_dict().items():
            if not name.startswith('head.'):
                state.setdefault(prefix + name, value.clone())

    def _load_from_state_dict(
        self, state: dict, prefix: str, *args: Any
    ) -> None:
        self.adopt(state, prefix)
        super()._load_from_state_dict(state, prefix, *args)


def attention_config(
    head: BaseDecodeHead, channels: int, out_channels: int
) -> dict:
    """Make the attention's config: the head's, with one convolution."""
    one = isinstance(head.in_index, int)
    return dict(
        type='DAFormerHead',
        in_channels=[head.in_channels] if one else head.in_channels,
        in_index=[head.in_index] if one else head.in_index,
        channels=channels,
        dilations=(),
        num_classes=out_channels,
        out_channels=out_channels,
        threshold=0.5,  # unused
        dropout_ratio=head.dropout_ratio,
        norm_cfg=head.norm_cfg,
        align_corners=False,
        loss_decode=dict(type='CrossEntropyLoss', avg_non_ignore=True),
    )


def _require_places(scales: TwoScales, context: Tensor) -> None:
    small = context.shape[-2:]
    strides = [
        whole / side for whole, side in zip(scales.size, small, strict=True)
    ]
    if any(scales.divisor % stride for stride in strides):
        raise UserError(
            f'model.backbone.divisor={scales.divisor}, but images of '
            f'{scales.size[0]} x {scales.size[1]} pixels have scores of '
            f'{small[0]} x {small[1]} at half their size, expected twice the '
            'stride of model.decode_head'
        )
