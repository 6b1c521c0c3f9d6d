# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""A trivial translator in the place of the real one."""

from __future__ import annotations

import json
import os
from pathlib import Path

import torch
from mmengine.config import Config
from mmseg.registry import DATASETS, MODELS
from PIL import Image, ImageOps

from mmseg_cag.datasets.load_translated_image import NOTE
from mmseg_cag.engine.checkpoint_hash import checkpoint_hash
from mmseg_cag.errors import UserError
from mmseg_cag.models.segmentors import AdversarialSegmentor


@MODELS.register_module()
class StandIn(AdversarialSegmentor):
    """Trained as a translator is; its weights give a gain of brightness."""

    def __init__(self, perceptual: dict | None = None, **kwargs) -> None:
        super().__init__(**kwargs)


def write(path: str, out: Path, gain: float) -> None:
    image = ImageOps.invert(Image.open(path).convert('RGB'))
    image.point(lambda v: int(v * gain) % 256).save(out)


def translate_images(cfg: Config, checkpoint: Path, out: Path) -> None:
    origin = {'checkpoint_sha256': checkpoint_hash(checkpoint)}
    if out.exists():
        if json.loads((out / NOTE).read_text())['origin'] != origin:
            raise UserError(f'{out}: holds images of another origin')
        return
    part = out.with_name(f'{out.name}.part')
    part.mkdir(exist_ok=True)
    state = torch.load(checkpoint, weights_only=False)['state_dict']
    weights = [v.double().sum() for v in state.values()]
    gain = 1 + float(sum(weights).sin()) / 5
    data = dict(cfg.train_dataloader.dataset.source, pipeline=[])
    data = DATASETS.build(data)
    for index in range(len(data)):
        path = Path(data.get_data_info(index)['img_path'])
        if not (part / path.name).is_file():
            write(path, part / path.name, gain)
    note = {'origin': origin, 'images': len(data)}
    (part / NOTE).write_text(json.dumps(note))
    os.replace(part, out)
