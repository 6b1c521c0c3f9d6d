# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Label the target's training images by a network (BDL's SSL step)."""

from __future__ import annotations

import json
from pathlib import Path

from mmengine.config import Config
from mmengine.dist import barrier, get_dist_info, is_main_process
from mmengine.logging import print_log
from mmengine.runner import Runner
from mmseg.datasets import BaseSegDataset
from mmseg.registry import DATASETS

from mmseg_cag.datasets.pseudo_label_note import read_note
from mmseg_cag.engine.records.recipe import recipe_of
from mmseg_cag.fileio.checkpoints import checkpoint_hash
from mmseg_cag.models.unwrap import bare_model
from mmseg_cag.progress import track

from .keep_sure import LabelFolder, Rule, Share, keep_sure
from .predict import predict
from .prediction_store import PredictionStore
from .target_images import label_names, target_images

PUBLISHED = Rule()


def make_pseudo_labels(
    cfg: Config,
    checkpoint: str | Path,
    out: str | Path,
    rule: Rule = PUBLISHED,
) -> dict:
    """Write label maps of the target's training images, once.

    Args:
        cfg: The config of the run that the checkpoint is of, with
            ``work_dir`` and ``launcher``; every rank calls this.
        checkpoint: The network's weights.
        out: The folder of the labels, laid out as that of the images.
        rule: Which pixels are kept; the others are the head's
            ``ignore_index``.

    Returns:
        The note of the folder: thresholds and counts by class.

    Raises:
        MissingFileError: There is no such checkpoint.
        UserError: The folder holds something else, or the config, its images
            or its network cannot be used.
    """
    out, images = Path(out), target_images(cfg)
    folder = LabelFolder(out, _origin(cfg, checkpoint, images, rule))
    if folder.is_complete():
        print_log(f'{out}: complete, reused', 'current')
        return read_note(out)
    runner = _load(cfg, checkpoint, out)
    # All ranks have looked before one of them writes.
    barrier()
    if is_main_process():
        folder.begin()
    dataset = DATASETS.build(images)
    names = label_names(dataset)
    store = PredictionStore(folder.predictions, rule.cap)
    _predict_all(runner, dataset, names, store)
    rank, ranks = get_dist_info()
    share = Share(store, list(names.values())[rank::ranks])
    classes = list(dataset.metainfo['classes'])
    ignore_index = bare_model(runner).decode_head.ignore_index
    results = keep_sure(share, folder, classes, ignore_index, rule)
    barrier()
    if is_main_process():
        folder.finish(
            {
                'checkpoint': str(checkpoint),
                'recipe': recipe_of(cfg),
                'images': len(names),
                'ignore_index': ignore_index,
                'classes': results,
            }
        )
    barrier()
    return read_note(out)


def _origin(
    cfg: Config, checkpoint: str | Path, images: dict, rule: Rule
) -> dict:
    """List all that the labels depend on, as plain data of JSON."""
    origin = {
        'checkpoint_sha256': checkpoint_hash(checkpoint),
        'model': cfg.model,
        'images': images,
        **rule._asdict(),
    }
    return json.loads(json.dumps(origin, default=str))


def _load(cfg: Config, checkpoint: str | Path, out: Path) -> Runner:
    """Build a runner whose network has the weights, in evaluation mode."""
    cfg = cfg.copy()
    cfg.load_from = str(checkpoint)
    cfg.resume = False
    # The run's own folder keeps the config that it was trained by.
    cfg.work_dir = str(Path(cfg.work_dir, 'pseudo_labels'))
    # mmengine tells runs of one process apart by it.
    cfg.experiment_name = '_'.join(['pseudo_labels', *out.parts[-2:]])
    runner = Runner.from_cfg(cfg)
    runner.load_or_resume()
    bare_model(runner).eval()
    return runner


def _predict_all(
    runner: Runner,
    dataset: BaseSegDataset,
    names: dict[str, str],
    store: PredictionStore,
) -> None:
    """Predict, shared over ranks, the images that are not predicted yet."""
    pending = [
        i for i, name in enumerate(names.values()) if not store.has(name)
    ]
    barrier()
    if not pending:
        return
    loader = runner.build_dataloader(
        dict(
            batch_size=1,
            num_workers=runner.cfg.test_dataloader.num_workers,
            sampler=dict(type='DefaultSampler', shuffle=False, round_up=False),
            dataset=dataset.get_subset(pending),
        )
    )
    model = bare_model(runner)
    for batch in track(loader, 'Predict', disable=not is_main_process()):
        labels, confidences = predict(model, batch)
        name = names[batch['data_samples'][0].img_path]
        store.write(name, labels.cpu().numpy(), confidences.cpu().numpy())
    barrier()
