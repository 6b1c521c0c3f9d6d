# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.model import revert_sync_batchnorm
from mmengine.optim import build_optim_wrapper
from mmengine.runner import load_checkpoint
from mmengine.structures import PixelData
from mmseg.registry import DATASETS, MODELS
from mmseg.structures import SegDataSample
from torch import Tensor

from mmseg_cag.launch.stages import walk
from mmseg_cag.models.anchors.pseudo_label_head import PixelSampler
from mmseg_cag.models.data_preprocessor import pin
from mmseg_cag.models.segmentors.base import gt_labels

# legend: N images, K classes, H W image

# Side of the single-class squares in random labels, in pixels.
BLOCK = 32
WRAPPERS = {
    None: {},
    'bf16': dict(type='BFloat16OptimWrapper'),
    'fp16': dict(type='AmpOptimWrapper', dtype='float16'),
}
# Source pixels to choose an automatic margin on.
MARGIN_PIXELS = 10_000


@dataclass(frozen=True)
class Form:
    """Numeric form of a step.

    Attributes:
        amp: ``bf16``, ``fp16`` or None for float32.
        channels_last: Whether convolutions run in that memory order.
        compiled: Whether backbones are compiled by `torch.compile`.
    """

    amp: str | None = None
    channels_last: bool = False
    compiled: bool = False

    def __str__(self) -> str:
        parts = [self.amp or 'fp32']
        parts += ['channels-last'] * self.channels_last
        parts += ['compiled'] * self.compiled
        return ', '.join(parts)


class Step:
    """A training step of a config, and the bare passes of CAG.

    Anchors and margin come from the checkpoint, else from the batch.

    Args:
        cfg: The config.
        form: How the step is computed.
        device: Device.
        batch: Images of both domains, as the loader returns them.
        checkpoint: Weights; None for random ones.
    """

    def __init__(
        self,
        cfg: Config,
        form: Form,
        device: str,
        batch: dict,
        checkpoint: str | None = None,
    ) -> None:
        self.form, self.device, self.batch = form, device, batch
        if torch.device(device).type == 'cuda':
            # As training does: else the host waits for each copy.
            self.batch = pin(batch)
        self.model = self._build(cfg, checkpoint)
        options = dict(cfg.optim_wrapper)
        options.update(WRAPPERS[form.amp])
        self.optim = build_optim_wrapper(self.model, options)
        data = self.model.data_preprocessor(self.batch, True)
        self.inputs, self.samples = data['inputs'], data['data_samples']
        bank = getattr(self.model, 'anchor_bank', None)
        if bank is None or not bank.counts.any():
            with self.optim.optim_context(self.model):
                begin_stage(self.model, self.inputs, self.samples)
        if form.compiled:
            self.model.backbone.compile()
            self.model.teacher.module.backbone.compile()

    def whole(self) -> dict[str, Tensor]:
        """Run the whole step, from images in memory to new weights."""
        return self.model.train_step(self.batch, self.optim)

    def passes(self) -> None:
        """Run student forward and backward on both domains, then teacher."""
        with self.optim.optim_context(self.model):
            outputs = [
                self.model.forward_student(self.inputs[domain])
                for domain in ('source', 'target')
            ]
            self.model.teacher(self.inputs['target'])
        logits = [logits for output in outputs for logits in output.logits]
        torch.autograd.backward(logits, [torch.ones_like(x) for x in logits])
        # mmengine clears gradients after an update: the next step would add
        # these.
        self.optim.zero_grad()

    def prepare(self) -> dict:
        """Move and normalise the images."""
        return self.model.data_preprocessor(self.batch, True)

    def losses(self) -> dict[str, Tensor]:
        """Run the forward of a step: both networks and all losses."""
        with self.optim.optim_context(self.model):
            return self.model(self.inputs, self.samples, mode='loss')

    @torch.no_grad()
    def anchors(self) -> None:
        """Run the anchors' work on a batch: teacher forward and sums."""
        with self.optim.optim_context(self.model):
            self.model.collect_centroids(
                self.model.anchor_bank.new_centroids(),
                None,
                self.inputs['source'],
                self.samples['source'],
            )

    @torch.no_grad()
    def labels(self) -> Tensor:
        """Compute the target's anchor labels (N, h, w)."""
        with self.optim.optim_context(self.model):
            return self.model.label_target(self.inputs['target'])['anchor']

    def _build(self, cfg: Config, checkpoint: str | None) -> Any:
        torch.manual_seed(0)
        model = revert_sync_batchnorm(MODELS.build(cfg.model))
        if checkpoint:
            load_checkpoint(model, checkpoint, map_location='cpu')
        model = model.to(self.device)
        if self.form.channels_last:
            model = model.to(memory_format=torch.channels_last)
        return model.train()


def begin_stage(model: Any, inputs: dict, samples: dict) -> None:
    """Make teacher, anchors and margin as hooks do, from one batch.

    Args:
        model: A segmentor; without stages or anchors, that part is skipped.
        inputs: Images (N, 3, H, W) of the domains.
        samples: Their samples.
    """
    if hasattr(model, 'start_stage'):
        model.start_stage()
    with torch.no_grad():
        if hasattr(model, 'foreign_head') and 'source' in inputs:
            maps = model.foreign_maps(inputs['source'])
            labels = gt_labels(samples['source'])
            model.foreign_head.fit(lambda: [(maps, labels)], len(labels))
        if hasattr(model, 'collect_means'):
            means = model.prototypes.new_centroids()
            model.collect_means(means, inputs['target'])
            model.prototypes.store(means)
    if not hasattr(model, 'collect_centroids') or 'source' not in inputs:
        return
    centroids = model.anchor_bank.new_centroids()
    images, own = inputs['source'], samples['source']
    sample = None
    if model.pseudo_label_head.is_auto:
        like = model.anchor_bank.anchors
        sample = PixelSampler(MARGIN_PIXELS, len(images), like)
    with torch.no_grad():
        model.collect_centroids(centroids, sample, images, own)
        model.store_anchors(centroids, sample)


def load_batch(cfg: Config) -> dict:
    """Load the first images of a config's training data."""
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    domains = dataset.domains.items()
    return pseudo_collate(
        [
            dataset[(0, i), {name: i % len(part) for name, part in domains}]
            for i in range(cfg.train_dataloader.batch_size)
        ]
    )


def crop_size(cfg: Config) -> tuple[int, int]:
    """Read height and width of a config's training crops."""
    domain, *_ = cfg.train_dataloader.dataset.domains.values()
    pipeline = domain.pipeline
    size, *_ = (
        step.crop_size for step in walk(pipeline) if 'crop_size' in step
    )
    return tuple(size)


def draw_batch(cfg: Config, block: int = BLOCK) -> dict:
    """Make a random batch of a config's size.

    Args:
        cfg: The config.
        block: Side of the single-class squares in the labels, in pixels.
    """
    size, number = crop_size(cfg), cfg.train_dataloader.batch_size
    num_classes = cfg.model.decode_head.num_classes
    generator = torch.Generator().manual_seed(0)

    def draw(high: int, shape: tuple) -> Tensor:
        return torch.randint(high, shape, generator=generator)

    batch: dict[str, dict] = dict(inputs={}, data_samples={})
    for domain in ('source', 'target'):
        images, samples = [], []
        for _ in range(number):
            images.append(draw(256, (3, *size)).to(torch.uint8))
            blocks = draw(num_classes, (1, *(-(-s // block) for s in size)))
            labels = blocks.repeat_interleave(block, 1)[:, : size[0]]
            labels = labels.repeat_interleave(block, 2)[..., : size[1]]
            sample = SegDataSample()
            if domain == 'source':
                sample.gt_sem_seg = PixelData(data=labels)
            samples.append(sample)
        batch['inputs'][domain] = images
        batch['data_samples'][domain] = samples
    return batch
