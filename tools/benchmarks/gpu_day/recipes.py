# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""(e) Step time, images per second and memory of each published recipe.

With random weights, on enlarged minitown images, cropped by the recipe's own
pipeline.
"""

from __future__ import annotations

import gc
import math
import os
import time
import traceback
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmseg.registry import DATASETS
from speed.step import load_batch

from gpu_day.setup import Setup, explain
from gpu_day.steps import (
    CONFIGS,
    OTHERS,
    Trainer,
    adapts,
    configs_of,
    free_memory,
    narrow,
    read_config,
    time_steps,
    time_updates,
    trains,
)
from gpu_day.towns import SHRINK, make_frames
from mmseg_cag.engine.loops import total_iters
from mmseg_cag.launch.stages import walk

# The best known recipes, measured before all others.
FIRST = (
    'daformer/mit-b5_gta2cs',
    'cag/deeplabv2_gta2cs',
    'hrda/mit-b5_gta2cs',
    'vfm_uda/vfmuda_dinov2-b_gta2cs',
    'mic/hrda_mit-b5_gta2cs',
    'adaptsegnet/deeplabv2_gta2cs',
    'vfm_uda/vfmuda_dinov2-l_gta2cs',
    'anchor_teacher/mit-b5_gta2cs',
)
# Folders without a method's recipe on GTA5 -> Cityscapes, or with one that
# needs a finished run.
NOT_PUBLISHED = ('minitown', 'custom', 'source_only', '_base_', 'distill')
# The large encoders are measured in source-only training.
LEFT_OUT = {'vfm_uda': ('nearest_anchor', 'linear', 'frozen', 'segformer')}
ENDING = '_gta2cs'
# In float32, with cuDNN's default of TF32 convolutions, and in bfloat16; both
# channels-last, as in all configs.
FORMS = {'TF32': None, 'bf16': 'bf16'}
SECONDS = (1.5, 0.1)
LEAST = (5, 1)  # consecutive steps
# Seconds that the first recipe takes at most.
LONGEST = (20, 0)
SIZES = {'scale', 'crop_size', 'frame_size', 'target_size', 'detail_size'}

ROWS = {'untrusted_top', 'untrusted_bottom'}
MARGINS = {'top', 'bottom', 'left', 'right'}


def recipes() -> list[Path]:
    """List the best known, then each method's first before any second one."""
    folders = sorted(p.name for p in CONFIGS.iterdir() if p.is_dir())
    columns = [
        configs_of(name, ENDING, LEFT_OUT.get(name, OTHERS))
        for name in folders
        if name not in NOT_PUBLISHED
    ]
    rows = zip_longest(*columns)
    others = [path for row in rows for path in row if path is not None]
    first = [CONFIGS / f'{name}.py' for name in FIRST]
    return list(dict.fromkeys([*first, *others]))


def measure(setup: Setup) -> dict:
    """Time a step of as many recipes as time allows."""
    frames = make_frames(setup)
    os.environ.update(
        GTA_ROOT=str(frames / 'gta'),
        CITYSCAPES_ROOT=str(frames / 'cityscapes'),
    )
    found: dict = dict(recipes={}, left=[])
    paths = recipes()
    if setup.rehearse:
        paths = [p for p in paths if p.parent.name in ('adaptsegnet', 'dacs')]
        paths = paths[:2]
    longest = 0.0
    for path in paths:
        name = f'{path.parent.name}/{path.stem}'
        if not setup.allows(longest or setup.choose(*LONGEST)):
            found['left'].append(name)
            continue
        start = time.monotonic()
        try:
            cfg = read_config(path)
            if not trains(cfg):
                continue
            for entry in measure_recipe(cfg, setup):
                found['recipes'][name] = entry
                setup.save(found)
            longest = max(longest, time.monotonic() - start)
        except Exception as error:
            traceback.print_exc()
            entry = found['recipes'].setdefault(name, {})
            entry['fault'] = explain(error)
            setup.save(found)
        gc.collect()
        free_memory()
    return found


def measure_recipe(cfg: Config, setup: Setup) -> Iterator[dict]:
    """Time steps of a recipe; yields results after each form."""
    if setup.rehearse:
        shrink(cfg)
    # Trying all kernels takes longer than timing a recipe.
    torch.backends.cudnn.benchmark = False
    batch = load_batch(cfg) if adapts(cfg) else load_plain_batch(cfg)
    images = batch['inputs']
    domains = images if isinstance(images, dict) else dict(source=images)
    entry = dict(
        batch=cfg.train_dataloader.batch_size,
        sizes={name: list(of[0].shape[-2:]) for name, of in domains.items()},
        iters=total_iters(cfg.train_cfg),
        forms={},
    )
    trainer = Trainer(cfg, batch, setup.device)
    taken = 0.0
    for name, amp in FORMS.items():
        if not setup.allows(taken):
            break
        start = time.monotonic()
        trainer.compute_in(amp)
        found = time_steps(
            trainer,
            setup.device,
            setup.choose(*SECONDS),
            setup.ends - 1,
            setup.choose(*LEAST),
        )
        found |= time_updates(trainer, setup.device)
        entry['forms'][name] = found
        taken = time.monotonic() - start
        yield entry


def load_plain_batch(cfg: Config) -> dict:
    """Load the first images of a source-only config."""
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    number = cfg.train_dataloader.batch_size
    return pseudo_collate([dataset[i % len(dataset)] for i in range(number)])


def shrink(cfg: Config) -> None:
    """Shrink networks and images."""
    shrink_images(cfg)
    narrow(cfg.model)
    for part in walk(cfg._cfg_dict['model']):
        for key in ROWS & part.keys():
            part[key] //= SHRINK
        if 'num_layers' in part:
            part['num_layers'] = [1, 1, 1, 1]


def shrink_images(cfg: Config) -> None:
    """Shrink resized images, crops and margins."""
    for part in walk(cfg._cfg_dict):
        if part.get('type') == 'MarkUntrusted':
            for key in MARGINS & part.keys():
                part[key] //= SHRINK
        for key in SIZES & part.keys():
            if isinstance(part[key], tuple | list):
                part[key] = tuple(side // SHRINK for side in part[key])


def check(results: dict, rehearse: bool) -> list[str]:
    """Find recipes that failed or have non-finite losses."""
    faults = []
    for name, recipe in results['recipes'].items():
        if 'fault' in recipe:
            faults.append(f'{name}: {recipe["fault"]}')
        for form, found in recipe.get('forms', {}).items():
            losses = found['log']
            if not (found['ms'] > 0 and math.isfinite(losses['loss'])):
                faults.append(f'{name}, {form}: {found["ms"]} ms, {losses}')
    return faults if results['recipes'] else ['no recipe was measured']
