# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import torch
import torch.nn.functional as F
from mmseg.models import SegDataPreProcessor
from mmseg.registry import MODELS
from torch import Tensor, nn

from mmseg_cag.models.data_preprocessor import converts_bgr_to_rgb
from mmseg_cag.models.student import load_student

from .resnet_generator import InstanceNorm

# legend: N images, H W image, K classes, h w feature map


class GreyLevels:
    """Convert between a preprocessor's normalised images and grey levels.

    Converts images between networks of different channel order, mean and
    scale.

    Args:
        preprocessor: Preprocessor of a network.
    """

    def __init__(self, preprocessor: SegDataPreProcessor) -> None:
        self.preprocessor = preprocessor

    def of(self, images: Tensor) -> Tensor:
        """Compute BGR in 0..255 from normalised images (N, 3, H, W)."""
        p = self.preprocessor
        if p._enable_normalize:
            images = images * p.std.to(images) + p.mean.to(images)
        return images.flip(1) if converts_bgr_to_rgb(p) else images

    def normalise(self, grey: Tensor) -> Tensor:
        """Compute normalised images from BGR (N, 3, H, W) in 0..255."""
        p = self.preprocessor
        images = grey.flip(1) if converts_bgr_to_rgb(p) else grey
        if p._enable_normalize:
            images = (images - p.mean.to(images)) / p.std.to(images)
        return images


@MODELS.register_module()
class PerceptualLoss(nn.Module):
    """Perceptual loss: keep class scores unchanged under translation.

    The mean squared difference of class scores (N, K, h, w), each score map
    normalised to mean 0 and variance 1: BDL's perceptual loss.

    The frozen network is not in the module tree, so it is not checkpointed,
    trained or wrapped; a resumed run loads it again.

    Args:
        segmentor: The network's config: a file, or its ``model``.
        checkpoint: Its weights.
        reconstruction_weight: Weight of the distance between an image and its
            reconstruction.
        translation_weight: Weight of the distance between an image and its
            translation.

    Raises:
        MissingFileError: There is no such file.
        UserError: The weights do not fit this network.

    Source: BDL, Sec. 3.1, eq. 3; squares, not absolute values, as released.
    """

    def __init__(
        self,
        segmentor: str | dict,
        checkpoint: str,
        reconstruction_weight: float = 10.0,
        translation_weight: float = 0.1,
    ) -> None:
        super().__init__()
        self.weights = (reconstruction_weight, translation_weight)
        self._segmentor = (load_student(segmentor, checkpoint),)

    def forward(
        self,
        images: dict[str, Tensor],
        reconstructed: dict[str, Tensor],
        translated: dict[str, Tensor],
        grey_levels: dict[str, GreyLevels],
    ) -> dict[str, Tensor]:
        """Compute the weighted distances by domain.

        Args:
            images: Images (N, 3, H, W) of each domain, normalised.
            reconstructed: Their reconstructions.
            translated: Their translations to the other domain.
            grey_levels: Grey-level conversion of each domain.
        """
        domains = list(images)
        grey = {d: grey_levels[d].of for d in domains}
        other = dict(zip(domains, reversed(domains), strict=True))
        with torch.no_grad():
            real = self.features([grey[d](images[d]) for d in domains])
        made = self.features(
            [grey[d](reconstructed[d]) for d in domains]
            + [grey[other[d]](translated[d]) for d in domains]
        )
        pairs = zip(made, (*real, *real), strict=True)
        distances = [F.mse_loss(one, two) for one, two in pairs]
        names = ('loss_perceptual_rec', 'loss_perceptual')
        return {
            f'{domain}.{name}': weight * distances.pop(0)
            for name, weight in zip(names, self.weights, strict=True)
            for domain in domains
        }

    def features(self, grey: list[Tensor]) -> tuple[Tensor, ...]:
        """Compute normalised class scores for each batch of grey levels."""
        network = self._segmentor[0].to(grey[0])
        images = torch.cat(grey)
        images = GreyLevels(network.data_preprocessor).normalise(images)
        scores = network.decode_head(network.extract_feat(images))
        normalised = InstanceNorm(scores.size(1))(scores)
        return normalised.split([len(part) for part in grey])
