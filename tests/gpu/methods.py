# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""A step of each method with a config on minitown, and of small VFM-UDAs."""

from __future__ import annotations

import copy
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from gpu_day.steps import CONFIGS, adapts, configs_of, read_config
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmseg.registry import MODELS
from speed.step import WRAPPERS, begin_stage, draw_batch
from torch import Tensor, nn

from mmseg_cag.launch.stages import walk
from mmseg_cag.models.student import student_model

# Of a rehearsal.
SIZES, SHRINK = {'crop_size', 'detail_size'}, 4
FOLDER = 'minitown'
# Not on minitown: made small here, in the folder of the same name.
TRANSFORMERS = ('vfmuda_dinov2-b_gta2cs', 'vfmudaplus_dinov2-b_gta2cs')
ARCH = dict(dim=48, depth=4, heads=3)
# Sides of their crops, and of what the networks see.
SIDE, PLAIN, PYRAMID = 64, 56, 224
SCRATCH = TemporaryDirectory()


@cache
def names() -> list[str]:
    """List configs, one for each segmentor, backbone and head."""
    found = {}
    for path in configs_of(FOLDER):
        cfg = read_config(path)
        if adapts(cfg):
            model = cfg.model
            parts = (model, model.backbone, model.decode_head)
            found.setdefault(tuple(part.type for part in parts), path.stem)
    return [*found.values(), *TRANSFORMERS]


def load(method: str, device: str) -> tuple[Config, dict]:
    """Read a config without randomness in its network, and draw a batch."""
    small = method in TRANSFORMERS
    folder = 'vfm_uda' if small else FOLDER
    cfg = read_config(CONFIGS / folder / f'{method}.py')
    if 'distillation' in cfg.model:
        make_teacher(cfg)
    cfg.train_dataloader.batch_size = 2
    if small:
        make_small(cfg)
    elif device == 'cpu':
        for part in walk(cfg._cfg_dict):
            for key in SIZES & part.keys():
                part[key] = tuple(side // SHRINK for side in part[key])
    return cfg, draw_batch(cfg)


def make_teacher(cfg: Config) -> None:
    """Let a network with random weights, in a file, be the fixed teacher."""
    teacher = cfg.model.distillation.teacher
    teacher.config = read_config(Path(teacher.config)).model
    torch.manual_seed(0)
    network = MODELS.build(student_model(teacher.config))
    teacher.checkpoint = str(
        Path(SCRATCH.name, f'{Path(cfg.filename).stem}.pth')
    )
    torch.save(dict(state_dict=network.state_dict()), teacher.checkpoint)


def make_small(cfg: Config) -> None:
    """Shrink vision transformers and their crops."""
    for part in walk(cfg._cfg_dict):
        if 'arch' in part:
            part.update(arch=ARCH, resize=(PLAIN, PLAIN))
        if part.get('type') == 'ViTAdapter':
            part.update(prior_channels=4, resize=(PYRAMID, PYRAMID))
        if part.get('type') == 'SyncBN':
            part['type'] = 'BN'
        if 'crop_size' in part:
            part['crop_size'] = (SIDE, SIDE)
    cfg.model.decode_head.in_channels = ARCH['dim']


def build(cfg: Config, batch: dict, device: str = 'cpu') -> nn.Module:
    """Build a model without randomness in its network, as a stage begins.

    What begins it, such as anchors, is computed on the CPU: so it is the same
    on each device.
    """
    torch.manual_seed(0)
    model = MODELS.build(cfg.model).train()
    for module in model.modules():
        if isinstance(module, nn.modules.dropout._DropoutNd):
            module.p = 0.0
        if hasattr(module, 'drop_prob'):
            module.drop_prob = 0.0
    data = preprocess(model, batch)
    begin_stage(model, data['inputs'], data['data_samples'])
    # Without them, losses and labels by them are zero on each device.
    if hasattr(model, 'foreign_head'):
        assert model.foreign_head.anchor_bank.counts.any()
    if hasattr(model, 'prototypes'):  # a network at random predicts one class
        model.prototypes.anchors.normal_()
        model.prototypes.counts.fill_(1)
    return model.to(device)


def preprocess(model: nn.Module, batch: dict) -> dict:
    return model.data_preprocessor(copy.deepcopy(batch), True)


def losses_of(model: nn.Module, batch: dict) -> dict[str, Tensor]:
    torch.manual_seed(1)
    return model(**preprocess(model, batch), mode='loss')


def optimizer(cfg: Config, model: nn.Module, amp: str | None = None):
    options = dict(cfg.optim_wrapper)
    options.update(WRAPPERS[amp])
    return build_optim_wrapper(model, options)


def moved(batch: object, device: str) -> object:
    """Put a batch on a device, so that a step copies nothing."""
    if isinstance(batch, dict):
        return {key: moved(value, device) for key, value in batch.items()}
    if isinstance(batch, list):
        return [moved(value, device) for value in batch]
    return batch.to(device) if hasattr(batch, 'to') else batch


def is_left_out(method: str, device: str) -> bool:
    """Whether a rehearsal does without a test of this method."""
    return device == 'cpu' and method not in names()[:2]
