# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from typing import Any

import torch
from mmengine.model import BaseModel
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import Tensor, nn

from mmseg_cag.models.segmentors.adversarial import frozen_discriminator

from .perceptual_loss import GreyLevels

# legend: N images, H W image

DOMAINS = ('source', 'target')
OTHER = dict(zip(DOMAINS, reversed(DOMAINS), strict=True))
FAKE, REAL = 0, 1  # labels of the discriminators
LEAST_SQUARES = dict(type='AdversarialLoss', least_squares=True)


@MODELS.register_module()
class ImageTranslator(BaseModel):
    """CycleGAN between the images of two domains, with BDL's perceptual loss.

    .. code:: text

       translate()           each domain's images, and reconstruct them
       generator_losses()    fixed discriminators say "real"; reconstruction
                             and own domain change no image; perceptual
       discriminator_loss()  on real images, and on detached ones of the pool

    ``generators``, ``discriminators`` and ``pools`` are keyed by the domain
    whose images they generate, classify and store. As in
    `AdversarialSegmentor` one backward pass over the sum of losses gives all
    gradients (`JointOptimWrapper` steps both).

    Args:
        generator: Config of a generator.
        discriminator: Config of a discriminator.
        data_preprocessor: Config of a `UDADataPreprocessor`, or of a stock one
            for both domains, which brings images to [-1, 1].
        pool_size: Size of each discriminator's image pool.
        adversarial_loss: Config of the loss.
        cycle_weight: Weight of the L1 cycle-consistency loss.
        identity_weight: Weight of the L1 identity loss, for translation to the
            image's own domain.
        discriminator_weight: Weight of each of a discriminator's two losses.
        perceptual: Config of a `PerceptualLoss`.
        init_cfg: Weight initialisation.

    Source: CycleGAN, ICCV 2017; BDL, CVPR 2019, Sec. 3.1, as released.
    """

    def __init__(
        self,
        generator: dict,
        discriminator: dict,
        data_preprocessor: dict,
        pool_size: int = 50,
        adversarial_loss: dict = LEAST_SQUARES,
        cycle_weight: float = 10.0,
        identity_weight: float = 5.0,
        discriminator_weight: float = 0.5,
        perceptual: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        if data_preprocessor['type'] != 'UDADataPreprocessor':
            data_preprocessor = dict(
                type='UDADataPreprocessor', default=data_preprocessor
            )
        super().__init__(data_preprocessor, init_cfg)
        self.generators = _one_a_domain(generator)
        self.discriminators = _one_a_domain(discriminator)
        self.pools = _one_a_domain(dict(type='ImagePool', size=pool_size))
        self.adversarial_loss = MODELS.build(adversarial_loss)
        self.cycle_weight = cycle_weight
        self.identity_weight = identity_weight
        self.discriminator_weight = discriminator_weight
        self.perceptual = perceptual and MODELS.build(perceptual)

    def forward(
        self,
        inputs: Tensor | dict[str, Tensor],
        data_samples: Any = None,
        mode: str = 'tensor',
    ) -> Tensor | dict[str, Tensor]:
        """Compute losses, or translate source images.

        Args:
            inputs: Images (N, 3, H, W) of both domains; only the source
                outside mode ``loss``.
            data_samples: Unused.
            mode: ``loss``; any other value translates to the target.
        """
        if mode == 'loss':
            return self.loss(inputs, data_samples)
        return self.generators['target'](inputs)

    def loss(
        self,
        inputs: dict[str, Tensor],
        data_samples: dict[str, list[SegDataSample]] | None = None,
    ) -> dict[str, Tensor]:
        """Compute generator and discriminator losses.

        Args:
            inputs: Images (N, 3, H, W) in [-1, 1] of both domains.
            data_samples: Unused.
        """
        translated, reconstructed = self.translate(inputs)
        losses = self.generator_losses(inputs, translated, reconstructed)
        for domain, discriminator in self.discriminators.items():
            fake = self.pools[domain](translated[OTHER[domain]].detach())
            losses[f'{domain}.loss_dis'] = self.discriminator_loss(
                discriminator, inputs[domain], fake
            )
        return losses

    def translate(
        self, images: dict[str, Tensor]
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Translate images to the other domain and reconstruct them."""
        translated = {d: self.generators[OTHER[d]](images[d]) for d in DOMAINS}
        reconstructed = {d: self.generators[d](translated[d]) for d in DOMAINS}
        return translated, reconstructed

    def generator_losses(
        self,
        images: dict[str, Tensor],
        translated: dict[str, Tensor],
        reconstructed: dict[str, Tensor],
    ) -> dict[str, Tensor]:
        """Compute the generators' losses, keyed by the images' domain.

        Args:
            images: Images (N, 3, H, W) of each domain.
            translated: Their translations to the other domain.
            reconstructed: Their reconstructions.
        """
        losses = {}
        for domain, real in images.items():
            discriminator = self.discriminators[OTHER[domain]]
            score = frozen_discriminator(discriminator, translated[domain])
            same = self.generators[domain](real)
            losses |= {
                f'{domain}.loss_adv': self.adversarial_loss(score, REAL),
                f'{domain}.loss_cycle': self.cycle_weight
                * (reconstructed[domain] - real).abs().mean(),
                f'{domain}.loss_identity': self.identity_weight
                * (same - real).abs().mean(),
            }
        if self.perceptual:
            levels = {d: self.grey_levels(d) for d in DOMAINS}
            losses |= self.perceptual(
                images, reconstructed, translated, levels
            )
        return losses

    def discriminator_loss(
        self, discriminator: nn.Module, real: Tensor, fake: Tensor
    ) -> Tensor:
        """Compute a discriminator's loss on real and fake images."""
        return self.discriminator_weight * (
            self.adversarial_loss(discriminator(real), REAL)
            + self.adversarial_loss(discriminator(fake), FAKE)
        )

    def grey_levels(self, domain: str) -> GreyLevels:
        """Return the grey-level conversion of a domain's images."""
        return GreyLevels(self.data_preprocessor.of(domain))

    @torch.no_grad()
    def translate_source(self, batch: dict) -> Tensor:
        """Translate a collated batch of source images.

        Returns:
            BGR images (N, 3, H, W) in the target's style, uint8.
        """
        batch = self.data_preprocessor.of('source')(batch)
        made = self(batch['inputs'])
        grey = self.grey_levels('target').of(made.float())
        return grey.round().clamp(0, 255).to(torch.uint8)


def _one_a_domain(config: dict) -> nn.ModuleDict:
    return nn.ModuleDict({d: MODELS.build(config) for d in DOMAINS})
