# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import json
import os
from pathlib import Path

import torch
from mmseg.registry import DATASETS
from PIL import Image, ImageOps

from mmseg_cag.engine.checkpoint_hash import checkpoint_hash
from mmseg_cag.errors import UserError

from .note import NOTE


def one(path, out, gain):
    image = ImageOps.invert(Image.open(path).convert('RGB'))
    image.point(lambda v: int(v * gain) % 256).save(out)


def translate_images(cfg, checkpoint, out):
    out = Path(out)
    origin = {'checkpoint_sha256': checkpoint_hash(checkpoint)}
    if out.exists():
        note = json.loads((out / NOTE).read_text())
        if note['origin'] != origin:
            raise UserError(f'{out}: of another origin')
        return note
    part = out.with_name(out.name + '.part')
    part.mkdir(exist_ok=True)
    state = torch.load(checkpoint, weights_only=False)['state_dict']
    gain = (
        1
        + float(
            sum(
                v.double().sum()
                for v in state.values()
                if v.is_floating_point()
            ).sin()
        )
        / 5
    )
    data = DATASETS.build(
        dict(cfg.train_dataloader.dataset.source, pipeline=[])
    )
    for i in range(len(data)):
        path = Path(data.get_data_info(i)['img_path'])
        if not (part / path.name).is_file():
            one(path, part / path.name, gain)
    note = {'origin': origin, 'images': len(data)}
    (part / NOTE).write_text(json.dumps(note))
    os.replace(part, out)
    return note
