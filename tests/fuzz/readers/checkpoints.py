# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import pickle
from collections.abc import Iterator
from functools import partial
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from checkpoint_formats import FORMATS, read_published
from mmengine.config import Config
from mmengine.logging import HistoryBuffer
from mmengine.runner import CheckpointLoader
from mmseg.registry import MODELS

from mmseg_cag.engine.records.provenance import read_provenance
from mmseg_cag.inference.demo.network import load_network
from mmseg_cag.inference.export_student import student_checkpoint
from mmseg_cag.models.anchors.anchor_file import read_category_anchors
from mmseg_cag.models.student import student_model
from tests import tiny

from .reader import Reader

FILE = 'file.pth'


def readers(scratch: Path) -> Iterator[Reader]:
    """The readers of weights and anchors."""
    cfg = tiny.run_config(scratch, scratch)
    # The others would be a stranger's to the demo.
    cfg.custom_imports = dict(imports=['mmseg_cag'])
    cfg.test_dataloader = cfg.val_dataloader
    own = own_checkpoint(cfg)
    named = {
        'mmengine': lambda f: CheckpointLoader.load_checkpoint(str(f / FILE)),
        'provenance': lambda f: read_provenance(f / FILE),
        'export_student': lambda f: student_checkpoint(cfg, f / FILE),
        'demo': lambda f: load_network(f / FILE),
    }
    seeds = [saved(own), saved(own, _use_new_zipfile_serialization=False)]
    for name, read in named.items():
        yield Reader('checkpoints', name, FILE, seeds, read)
    for name in ('adaptsegnet_single', 'fc_discriminator'):
        weights = published(name)
        seeds = [
            saved(weights),
            saved(weights, _use_new_zipfile_serialization=False),
        ]
        read = partial(import_one, name)
        yield Reader('checkpoints', f'import {name}', FILE, seeds, read)
    yield anchors()


def saved(content: object, **options: object) -> bytes:
    """What `torch.save` writes."""
    stream = BytesIO()
    torch.save(content, stream, **options)
    return stream.getvalue()


def own_checkpoint(cfg: Config) -> dict:
    """A small checkpoint as mmengine writes it."""
    torch.manual_seed(0)
    history = HistoryBuffer()
    history.update(0.5)
    return {
        'state_dict': MODELS.build(student_model(cfg.model)).state_dict(),
        'meta': {
            'iter': 3,
            'cfg': cfg.dump(),
            'provenance': {'model': {'type': 'A'}},
            'dataset_meta': {'classes': ('a', 'b'), 'palette': [[0, 0, 0]]},
        },
        'message_hub': {
            'log_scalars': {'train/loss': history},
            'runtime_info': {'best': np.float32(1)},
        },
    }


def published(name: str) -> dict:
    """The keys of a published format, with weights of no size."""
    form = FORMATS[name]
    return {
        f'{part.source}.{tensor}': torch.zeros(1)
        for part in form.parts
        for tensor in part.tensors
    }


def import_one(name: str, folder: Path) -> None:
    read_published(folder / FILE, name)


def anchors() -> Reader:
    """The anchor files of the release, and ours."""
    vectors = np.random.default_rng(0).normal(size=(19, 4))
    released = {
        'objective_vectors': torch.from_numpy(vectors),
        'objective_num': np.arange(19.0),
    }
    ours = {
        'anchors': torch.from_numpy(vectors).float(),
        'counts': torch.arange(19.0),
    }
    return Reader(
        'anchor files',
        'anchors',
        FILE,
        [
            saved(released),
            saved(ours),
            saved(vectors),
            saved(released, _use_new_zipfile_serialization=False),
            pickle.dumps(vectors, protocol=2),
        ],
        lambda folder: read_category_anchors(folder / FILE),
    )
