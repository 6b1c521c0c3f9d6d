# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""(d) A step in the release's setting, in each form, against its passes."""

from __future__ import annotations

import gc
import math
import time
import traceback

import torch
from mmengine.config import Config
from speed.memory import extra_memory
from speed.step import BLOCK, Form, Step, crop_size, draw_batch
from speed.timing import time_in_turn, time_steps_in_turn

from gpu_day.precision import allow_tf32
from gpu_day.setup import NO_TIME, Setup, explain
from gpu_day.steps import (
    CONFIGS,
    free_memory,
    narrow,
    read_config,
    time_updates,
)

# ResNet-101, 4 + 4 crops of 896 x 512.
CONFIG = CONFIGS / 'cag' / 'deeplabv3plus_gta2cs.py'
# The form that others are compared with.
FULL = 'fp32'
# In order of value: name, whether TF32 is allowed, form.
FORMS = (
    (FULL, False, Form()),
    ('bf16, channels-last', True, Form('bf16', channels_last=True)),
    ('TF32', True, Form()),
    (
        'bf16, channels-last, compiled',
        True,
        Form('bf16', channels_last=True, compiled=True),
    ),
    ('bf16', True, Form('bf16')),
    ('TF32, channels-last', True, Form(channels_last=True)),
    ('fp16, channels-last', True, Form('fp16', channels_last=True)),
    ('fp16', True, Form('fp16')),
)
# Seconds that the first form takes at most, and that compiling adds.
FIRST, TO_COMPILE = (30, 0), 40
ROUNDS = (3, 1)
# Of what a step has besides its passes, and of the anchors' pass.
PART_ROUNDS = (3, 1)


def measure(setup: Setup) -> dict:
    """Time step and passes of each form, as time allows."""
    cfg = read_config(CONFIG)
    # No gap between random anchors reaches the release's margin.
    cfg.model.pseudo_label_head.margin = 0.0
    if setup.rehearse:
        shrink(cfg)
    batch = draw_batch(cfg, setup.choose(BLOCK, 4))
    torch.backends.cudnn.benchmark = cfg.env_cfg.cudnn_benchmark
    found: dict = dict(
        config=CONFIG.name,
        batch=cfg.train_dataloader.batch_size,
        size=list(crop_size(cfg)),
        iters=cfg.train_cfg.stages * cfg.train_cfg.stage_iters,
        forms={},
    )
    full, longest = None, 0.0
    for name, tf32, form in setup.choose(FORMS, FORMS[:2]):
        seconds = longest or setup.choose(*FIRST)
        if not setup.allows(seconds + TO_COMPILE * form.compiled):
            found['forms'][name] = dict(fault=NO_TIME)
            continue
        start = time.monotonic()
        try:
            with allow_tf32(tf32):
                entry, labels = measure_form(cfg, form, batch, setup)
            full = labels if name == FULL else full
            if full is not None:
                entry['agreement'] = (labels == full).float().mean().item()
        except Exception as error:
            traceback.print_exc()
            entry = dict(fault=explain(error))
        taken = time.monotonic() - start
        if 'fault' not in entry and not form.compiled:
            longest = max(longest, taken)
        entry['seconds'] = round(taken, 1)
        found['forms'][name] = entry
        setup.save(found)
        gc.collect()
        free_memory()
    return found


def measure_form(
    cfg: Config, form: Form, batch: dict, setup: Setup
) -> tuple[dict, torch.Tensor]:
    """Time a form; returns results and the target's anchor labels."""
    step = Step(cfg, form, setup.device, batch)
    labels = step.labels().cpu()
    ignored = step.model.pseudo_label_head.ignore_index
    parts = dict(whole=step.whole, passes=step.passes)
    times = time_steps_in_turn(parts, setup.choose(*ROUNDS), setup.device)
    names = ('prepare', 'losses', 'labels', 'anchors')
    parts = {name: getattr(step, name) for name in names}
    times |= time_in_turn(parts, setup.choose(*PART_ROUNDS), setup.device)
    times['update_ms'] = time_updates(step, setup.device)['optimizer_ms']
    return dict(
        times,
        memory=extra_memory(step.whole, setup.device),
        active=(labels != ignored).float().mean().item(),
        loss=step.whole()['loss'].item(),
    ), labels


def shrink(cfg: Config) -> None:
    """Shrink network and crops."""
    narrow(cfg.model)
    # Few pixels of a class are rightly predicted.
    cfg.model.anchor_bank.min_pixels = 1
    cfg.train_dataloader.batch_size = 2
    for domain in cfg.train_dataloader.dataset.domains.values():
        for step in domain.pipeline:
            if 'crop_size' in step:
                step.crop_size = (32, 64)


def check(results: dict, rehearse: bool) -> list[str]:
    """Find failed forms, steps faster than their passes, and odd results."""
    faults = []
    for name, form in results['forms'].items():
        if 'fault' in form:
            if form['fault'] != NO_TIME:
                faults.append(f'{name}: {form["fault"]}')
            continue
        whole, passes = (form[key]['median'] for key in ('whole', 'passes'))
        if not rehearse and whole < 0.9 * passes:
            faults.append(f'{name}: step {whole:.1f} ms, passes {passes:.1f}')
        if not (0 < passes < math.inf and math.isfinite(form['loss'])):
            faults.append(f'{name}: {passes} ms, loss {form["loss"]}')
        if not form['active'] > 0:
            faults.append(f'{name}: no pixel has a label')
        elif form.get('agreement', 1) < 0.9:
            faults.append(
                f'{name}: {100 * form["agreement"]:.1f} % of the labels are '
                f'those of {FULL}'
            )
    if all(f.get('fault') == NO_TIME for f in results['forms'].values()):
        faults.append('no form was measured')
    return faults
