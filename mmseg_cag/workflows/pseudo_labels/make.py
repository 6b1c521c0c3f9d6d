# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Pseudo-label the target's training images (BDL's SSL step)."""

from __future__ import annotations

from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.dist import barrier, get_dist_info, is_main_process
from mmseg.models.segmentors import EncoderDecoder
from mmseg.registry import DATASETS
from torch import Tensor

from mmseg_cag.datasets.pseudo_label_metadata import (
    read_metadata,
)
from mmseg_cag.engine.records.provenance import provenance_of
from mmseg_cag.errors import UserError
from mmseg_cag.fileio.checkpoints import checkpoint_hash
from mmseg_cag.models.losses.head_loss import resize_as
from mmseg_cag.models.segmentors.base import bare_model, class_scores
from mmseg_cag.workflows.output_folder import build_runner, pending_batches

from .select_confident import (
    LabelFolder,
    PredictionStore,
    RankShard,
    ThresholdRule,
    select_confident,
)
from .target_images import label_names, target_images

PUBLISHED = ThresholdRule()

# legend: K classes, H W image, h w feature map


def make_pseudo_labels(
    cfg: Config,
    checkpoint: str | Path,
    out: str | Path,
    rule: ThresholdRule = PUBLISHED,
) -> dict:
    """Write pseudo labels of the target's training images, once.

    Args:
        cfg: The config of the checkpoint's run, with ``work_dir`` and
            ``launcher``; every rank calls this.
        checkpoint: The network's weights.
        out: The output folder, with the layout of the image folder.
        rule: Selects the pixels to keep; the others get the head's
            ``ignore_index``.

    Returns:
        The metadata of the folder: thresholds and counts by class.

    Raises:
        MissingFileError: The checkpoint does not exist.
        UserError: The folder contains something else, or the config, its
            images or its network cannot be used.
    """
    out, images = Path(out), target_images(cfg)
    origin = {
        'checkpoint_sha256': checkpoint_hash(checkpoint),
        'model': cfg.model,
        'images': images,
        **rule._asdict(),
    }
    folder = LabelFolder(out, origin)
    if folder.is_complete():
        return read_metadata(out)
    runner = build_runner(cfg, 'pseudo_labels', out, checkpoint)
    runner.load_or_resume()
    model = bare_model(runner).eval()
    # All ranks must check before any of them writes.
    barrier()
    if is_main_process():
        folder.begin()
    dataset = DATASETS.build(images)
    names = label_names(dataset)
    store = PredictionStore(folder.predictions, rule.cap)
    batches = pending_batches(
        runner,
        dataset,
        [store.has(name) for name in names.values()],
        'Predict',
        batch_size=1,
        num_workers=cfg.train_dataloader.num_workers,
    )
    for batch in batches:
        labels, confidences = predict(model, batch)
        name = names[batch['data_samples'][0].img_path]
        store.write(name, labels.cpu().numpy(), confidences.cpu().numpy())
    rank, ranks = get_dist_info()
    shard = RankShard(store, list(names.values())[rank::ranks])
    classes = list(dataset.metainfo['classes'])
    ignore_index = model.decode_head.ignore_index
    results = select_confident(shard, folder, classes, ignore_index, rule)
    barrier()
    if is_main_process():
        folder.finish(
            {
                'checkpoint': str(checkpoint),
                'provenance': provenance_of(cfg),
                'images': len(names),
                'ignore_index': ignore_index,
                'classes': results,
            }
        )
    barrier()
    return read_metadata(out)


@torch.no_grad()
def predict(model: EncoderDecoder, batch: dict) -> tuple[Tensor, Tensor]:
    """Predict an image's classes and their probabilities.

    Resizes probabilities (1, K, h, w), not logits: the published thresholds
    were computed so.

    Args:
        model: The network, in evaluation mode.
        batch: One image as a data loader collates it.

    Returns:
        Classes (H, W) uint8 and probabilities (H, W) float32, at the size of
        the network's input.

    Raises:
        UserError: The head does not return K class scores, or some are not
            finite.

    Source: BDL's SSL.py.
    """
    batch = model.data_preprocessor(batch)
    [sample] = batch['data_samples']
    head = model.decode_head
    logits = class_scores(head, model.extract_feat(batch['inputs']))
    classes = max(head.num_classes, 2)  # one sigmoid separates two
    if not isinstance(logits, Tensor) or logits.size(1) != classes:
        raise UserError(
            f'model.decode_head: {type(head).__name__} gives no map of '
            f'{classes} class scores, which pseudo labels need'
        )
    probabilities = resize_as(
        head, logits.float().softmax(1), batch['inputs'].shape[-2:]
    )
    # Without the preprocessor's padding.
    height, width = sample.img_shape[:2]
    confidences, labels = probabilities[0, :, :height, :width].max(0)
    if not confidences.isfinite().all():
        raise UserError(f'{sample.img_path}: the prediction is not finite')
    return labels.to(torch.uint8), confidences
