# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import copy
from typing import Any

import torch
from mmseg.registry import MODELS
from torch import Tensor, nn

from mmseg_cag.errors import UserError
from mmseg_cag.models.mixing import Labelled

from .dacs import DACSSegmentor


@MODELS.register_module()
class DAFormerSegmentor(DACSSegmentor):
    """DAFormer (CVPR 2022): DACS that does not forget what it began with.

    Features of things on the source stay near those of the backbone's
    pre-training. That network, ``start``, is the backbone as
    `init_weights` has made it; it is part of the checkpoints, and so the same
    in a run that goes on. Whatever else DAFormer has is in its config: the
    network, rare classes, the warm-up.

    Args:
        feature_distance: Config of a `FeatureDistance`; None for none.
        **kwargs: Those of `DACSSegmentor`.
    """

    def __init__(
        self, feature_distance: dict | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.feature_distance = None
        if feature_distance is None:
            return
        if self.with_neck:
            raise UserError(
                'model.feature_distance: set with a neck, expected a network '
                'whose head gets the maps of the backbone'
            )
        self.feature_distance = MODELS.build(
            dict(
                num_classes=self.num_classes,
                ignore_index=self.decode_head.ignore_index,
                **feature_distance,
            )
        )
        self.start = FixedNetwork(self.backbone)

    def init_weights(self) -> None:
        """Initialise the student, and keep its backbone as it is then."""
        super().init_weights()
        if self.feature_distance is not None:
            weights = self.backbone.state_dict()
            self.start.network.load_state_dict(weights)

    def source_losses(self, source: Labelled) -> dict[str, Tensor]:
        """Compute CE and the feature distance on the source."""
        output = self.forward_student(source.images)
        losses = self.labelled_loss(output, source, 'source')
        if self.feature_distance is not None:
            others = None
            if any(s.get('has_things', True) for s in source.samples):
                others = self.start_features(source.images)
            losses['source.loss_feature_distance'] = self.feature_distance(
                output.pyramid[-1], others, source.labels
            )
        return losses

    def start_features(self, images: Tensor) -> Tensor:
        """The last feature map of the network of the start."""
        return self.start(images)[-1]

    def _load_from_state_dict(
        self, state_dict: dict, prefix: str, *args: Any
    ) -> None:
        """Keep the network of the start where a checkpoint has none."""
        for key, value in self.state_dict(prefix=prefix).items():
            if key.startswith(f'{prefix}start.'):
                state_dict.setdefault(key, value)
        super()._load_from_state_dict(state_dict, prefix, *args)


class FixedNetwork(nn.Module):
    """A copy of a network that predicts, and never changes.

    Its parameters are buffers: no optimiser and no average has them.

    Args:
        network: The network.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = copy.deepcopy(network)
        for module in self.network.modules():
            for name, value in list(module.named_parameters(recurse=False)):
                delattr(module, name)
                module.register_buffer(name, value.detach())
        self.train()

    def train(self, mode: bool = True) -> FixedNetwork:
        """Stay as in evaluation."""
        return super().train(False)

    @torch.no_grad()
    def forward(self, images: Tensor) -> Any:
        """What the network computes of images (N, 3, H, W).

        Of an `HRDABackbone`, the features of the context alone.
        """
        return getattr(self.network, 'context', self.network)(images)
