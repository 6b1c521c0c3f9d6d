# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from mmseg.structures import SegDataSample
from mmseg.utils import add_prefix
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mmseg_cag.models.losses.head_loss import head_loss

from .encoder_decoder import DirectEncoderDecoder

# legend: N images, K classes, C feature channels, H W image, h w feature map


class View(NamedTuple):
    """What a network sees of a batch.

    Attributes:
        feat: The classifier's input (N, C, h, w), f_D of the paper.
        logits: Class scores (N, K, h, w).
        pyramid: Feature maps that the heads get.
    """

    feat: Tensor
    logits: Tensor
    pyramid: Sequence[Tensor]


class UDASegmentor(DirectEncoderDecoder):
    """A stock segmentor that also learns from unlabelled target images.

    The student *is* the segmentor, so keys of checkpoints are those of mmseg
    and prediction is untouched. A method overrides `adapt_loss`:

    .. code:: text

       loss()
         forward_view(source) -> source_loss()   CE, as mmseg's head has it
         forward_view(target) -> labelled_target_loss()   nothing (BDL: CE)
         adapt_loss()                            what the method is about

    Who wants to look at a step adds a function to ``watchers``: it is called
    with maps of the target as they are computed, ``images`` and ``student``
    (class scores) here and others by a method. They are not to be changed.

    Args:
        data_preprocessor: Config of a `UDADataPreprocessor`, or of a stock one
            for both domains.
        norm_eval: Whether the student's batch norms keep their running
            statistics while training ("freeze BN"), in both domains alike.
        **kwargs: Those of `DirectEncoderDecoder`.
    """

    def __init__(
        self, data_preprocessor: dict, norm_eval: bool = False, **kwargs: Any
    ) -> None:
        if data_preprocessor['type'] != 'UDADataPreprocessor':
            data_preprocessor = dict(
                type='UDADataPreprocessor',
                source=data_preprocessor,
                target=data_preprocessor,
            )
        super().__init__(data_preprocessor=data_preprocessor, **kwargs)
        self.norm_eval = norm_eval
        self.watchers: list[Callable[..., None]] = []

    def train(self, mode: bool = True) -> UDASegmentor:
        """Set the student's mode, but for batch norms that are kept."""
        super().train(mode)
        if self.norm_eval:
            for module in self.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()
        return self

    def loss(
        self,
        inputs: dict[str, Tensor],
        data_samples: dict[str, list[SegDataSample]],
    ) -> dict[str, Tensor]:
        """Compute the losses of a step on both domains.

        Args:
            inputs: Images (N, 3, H, W) float32 of ``source`` and ``target``.
            data_samples: N samples of each domain; the source's have labels,
                the target's at most pseudo labels.

        Raises:
            ValueError: The batch lacks a domain.
        """
        if not isinstance(inputs, dict):
            raise ValueError(
                f'{type(self).__name__}: expected batches of a source and a '
                'target, set train_dataloader.dataset.type to UDADataset'
            )
        source = self.forward_view(inputs['source'])
        losses = self.source_loss(source, data_samples['source'])
        target = self.forward_view(inputs['target'])
        if self.watchers:
            scores = self.scores_of(target).detach()
            self.show(images=inputs['target'], student=scores)
        losses.update(
            self.labelled_target_loss(target, data_samples['target'])
        )
        labels = gt_labels(data_samples['source'])
        losses.update(
            self.adapt_loss(source, labels, target, inputs['target'])
        )
        return losses

    def forward_view(self, images: Tensor) -> View:
        """Run the student on images (N, 3, H, W)."""
        neck = self.neck if self.with_neck else None
        return forward_view(self.backbone, neck, self.decode_head, images)

    def scores_of(self, view: View) -> Tensor:
        """The class scores (N, K, h, w) that a prediction is made by."""
        return view.logits

    def show(self, **maps: Tensor) -> None:
        """Hand maps of this step to those who watch it."""
        for watcher in self.watchers:
            watcher(**maps)

    def source_loss(
        self, source: View, data_samples: list[SegDataSample]
    ) -> dict[str, Tensor]:
        """Compute the heads' own losses at full resolution."""
        losses = head_loss(self.decode_head, source.logits, data_samples)
        if self.with_auxiliary_head:
            losses.update(
                self._auxiliary_head_forward_train(
                    source.pyramid, data_samples
                )
            )
        return add_prefix(losses, 'source')

    def labelled_target_loss(
        self, target: View, data_samples: list[SegDataSample]
    ) -> dict[str, Tensor]:
        """Compute losses of labels that come with the target: none.

        A method that has pseudo labels on disk overrides this.
        """
        return {}

    @abstractmethod
    def adapt_loss(
        self, source: View, labels: Tensor, target: View, images: Tensor
    ) -> dict[str, Tensor]:
        """Compute what a method adds to the source's cross entropy.

        Args:
            source: The student's view of the source.
            labels: Source labels (N, H, W) int64.
            target: The student's view of the target.
            images: Target images (N, 3, H, W) float32.
        """


def forward_view(
    backbone: nn.Module,
    neck: nn.Module | None,
    decode_head: nn.Module,
    images: Tensor,
) -> View:
    """Run a network and catch the features that its classifier gets.

    They are the input of ``decode_head.conv_seg``, after the head's dropout:
    that is where any head of mmseg has them.
    """
    caught = []
    handle = decode_head.conv_seg.register_forward_pre_hook(
        lambda _, inputs: caught.append(inputs[0])
    )
    try:
        pyramid = backbone(images)
        if neck is not None:
            pyramid = neck(pyramid)
        logits = decode_head(pyramid)
    finally:
        handle.remove()
    return View(caught[0], logits, pyramid)


def gt_labels(data_samples: list[SegDataSample]) -> Tensor:
    """Stack the labels of a batch to (N, H, W) int64."""
    return torch.cat([sample.gt_sem_seg.data for sample in data_samples])


def resize_labels(labels: Tensor, like: Tensor) -> Tensor:
    """Take the labels (N, H, W) at the size of a map (N, ..., h, w).

    Entry (i, j) is label (floor(i H / h), floor(j W / w)), as released.
    """
    resized = F.interpolate(
        labels.unsqueeze(1).float(), like.shape[-2:], mode='nearest'
    )
    return resized.squeeze(1).long()
