# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import torch
from mmseg.registry import MODELS
from torch import Tensor, nn

from mmseg_cag.errors import UserError
from mmseg_cag.models.mixing import Labelled

from .dacs import DACSSegmentor


@MODELS.register_module()
class DAFormerSegmentor(DACSSegmentor):
    """DAFormer (CVPR 2022): DACS with a feature distance to ImageNet.

    Source features of thing classes stay near those of the pre-trained
    backbone. That network, ``start``, is the backbone after `init_weights`; it
    is stored in checkpoints, so a resumed run uses the same one. The other
    parts of DAFormer are set in its config: the network, rare class sampling,
    the warm-up.

    Args:
        feature_distance: Config of a `FeatureDistance`; None for none.
        **kwargs: Arguments of `DACSSegmentor`.
    """

    own_state = ('start',)

    def __init__(
        self, feature_distance: dict | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.feature_distance = None
        if feature_distance is None:
            return
        inside = getattr(self.backbone, 'neck', None)  # of an `HRDABackbone`
        if self.with_neck or inside is not None:
            raise UserError(
                'model.feature_distance: set with a neck, expected a head '
                'directly on the backbone'
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
        """Initialise the student and keep a copy of its backbone."""
        super().init_weights()
        if self.feature_distance is not None:
            weights = self.backbone.state_dict()
            self.start.network.load_state_dict(weights)

    def source_losses(self, source: Labelled) -> dict[str, Tensor]:
        """Compute CE and the feature distance on the source."""
        output, losses = self.learn_from_source(source)
        if self.feature_distance is not None:
            others = None
            if any(s.get('has_things', True) for s in source.samples):
                others = self.start_features(source.images)
            losses['source.loss_feature_distance'] = self.feature_distance(
                output.pyramid[-1], others, source.labels
            )
        return losses

    def start_features(self, images: Tensor) -> Tensor:
        """Compute the last feature map of the initial network."""
        return self.start(images)[-1]


class FixedNetwork(nn.Module):
    """A frozen copy of a network for prediction.

    Its parameters are buffers, so optimisers and averages skip them.

    Args:
        network: The network.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = copy.deepcopy(network)
        for module in self.network.modules():
            given = dict(module.named_parameters(recurse=False))
            for name in given:
                delattr(module, name)
            # First, as before: weights without names are told by their order.
            module._buffers = {
                **{name: value.detach() for name, value in given.items()},
                **module._buffers,
            }
        self.train()

    def named_children(self) -> Iterator[tuple[str, nn.Module]]:
        """Hide the network from mmengine's conversions of batch norms.

        They fail on buffers, and nothing is to be synchronised.
        """
        return iter(())

    def children(self) -> Iterator[nn.Module]:
        """List the network, for moves to a device and modes."""
        return iter(self._modules.values())

    def train(self, mode: bool = True) -> FixedNetwork:
        """Stay in evaluation mode."""
        return super().train(False)

    @torch.no_grad()
    def forward(self, images: Tensor) -> Any:
        """Run the network on images (N, 3, H, W).

        For an `HRDABackbone`, computes the features of the context only.
        """
        return getattr(self.network, 'context', self.network)(images)
