# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from mmengine.config import Config

from mmseg_cag.data_check.examine import examine
from mmseg_cag.datasets.dataset_configs import require_images_of
from mmseg_cag.errors import UserError
from tests import tiny

from .reader import Reader

FILE = 'data.json'
LOADERS = 'train_dataloader', 'val_dataloader'


def readers(scratch: Path) -> Iterator[Reader]:
    """The readers of a config's data sections, as plain data."""
    tiny.write_towns(scratch)
    sections = {
        'train_dataloader': {'dataset': tiny.uda(scratch)},
        'val_dataloader': {'dataset': tiny.cityscapes(scratch, 'val')},
    }
    seeds = [json.dumps(sections).encode()]
    for name, read in {'the doctor': doctor, 'before a run': begin}.items():
        yield Reader('configs', name, FILE, seeds, partial(read_as, read))


def read_as(read: object, folder: Path) -> None:
    """Give a config to a reader; what is no config is none of its matter."""
    try:
        sections = json.loads((folder / FILE).read_bytes())
        cfg = Config(sections)
    except Exception as error:
        raise UserError('no config') from error
    read(cfg)


def doctor(cfg: Config) -> None:
    examine(cfg, sample=1, workers=1).as_dict()


def begin(cfg: Config) -> None:
    require_images_of(cfg, *LOADERS)
