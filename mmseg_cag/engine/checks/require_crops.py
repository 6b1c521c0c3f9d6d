# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from collections.abc import Iterator

from mmengine.config import Config
from mmseg.registry import MODELS

from mmseg_cag.datasets.dataset_configs import leaves


def require_crops(cfg: Config) -> None:
    """Check the crop size against model parts before building a run.

    Such parts have a classmethod ``require_crop(cfg, size)``. If the config
    does not give the crop size, the first step checks it.

    Args:
        cfg: The run's config.

    Raises:
        UserError: A part does not fit the crop; names the key.
    """
    loader = cfg.get('train_dataloader') or {}
    sizes = {
        crop_of(part.get('pipeline') or [])
        for _, _, part in leaves(loader.get('dataset'), 'dataset')
        if part
    }
    for size in sizes - {None}:
        for part in parts_of(cfg.model):
            kind = MODELS.get(part['type'])
            if hasattr(kind, 'require_crop'):
                kind.require_crop(part, size)


def crop_of(pipeline: list[dict]) -> tuple[int, int] | None:
    """Find the height and width of a pipeline's last crop."""
    size = None
    for step in pipeline:
        if not isinstance(step, dict):
            continue
        if 'crop_size' in step:
            given = step['crop_size']
            size = (given, given) if isinstance(given, int) else tuple(given)
        elif isinstance(step.get('transforms'), list):  # `RedrawCrop`
            size = crop_of(step['transforms']) or size
    return size


def parts_of(node: object) -> Iterator[dict]:
    """Yield the parts of a model config that have a ``type``."""
    if isinstance(node, dict):
        if isinstance(node.get('type'), str):
            yield node
        node = list(node.values())
    if isinstance(node, list | tuple):
        for child in node:
            yield from parts_of(child)
