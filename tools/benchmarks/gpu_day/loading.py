# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""(g) Images a second that all cores load, and that a step eats."""

from __future__ import annotations

import itertools
import os
import time

from mmengine.config import Config
from mmengine.runner import Runner

from gpu_day.recipes import shrink_images
from gpu_day.setup import Setup
from gpu_day.steps import CONFIGS
from gpu_day.towns import make_frames

CONFIG = CONFIGS / '_base_/datasets/uda_gta2cs_896x512.py'
SECONDS = (8.0, 0.5)
# Batches of each process, which come in bursts.
LEAST = 4
FORMS = ('each time', 'cached')


def measure(setup: Setup) -> dict:
    """Load batches for some seconds, decoding each time and from a cache."""
    frames = make_frames(setup)
    cores = len(os.sched_getaffinity(0))
    found: dict = dict(cores=cores, forms={}, eaten=eaten(setup.earlier))
    for number, name in enumerate(FORMS):
        cache = str(setup.folder / 'cache') if name == 'cached' else 'off'
        os.environ.update(
            GTA_ROOT=str(frames / 'gta'),
            CITYSCAPES_ROOT=str(frames / 'cityscapes'),
            INPUT_CACHE=cache,
        )
        cfg = Config.fromfile(CONFIG)
        if setup.rehearse:
            shrink_images(cfg)
        cfg.train_dataloader.num_workers = setup.choose(cores, 1)
        ends = time.monotonic() + (setup.left - 1) / (len(FORMS) - number)
        found['forms'][name] = load(
            cfg.train_dataloader, setup.choose(*SECONDS), ends
        )
        setup.save(found)
    return found


def load(loader_cfg: dict, seconds: float, ends: float) -> dict:
    """Load batches for some seconds, after those that fill the queues.

    Args:
        loader_cfg: Config of the loader.
        seconds: For how long, or longer until there are enough batches.
        ends: When to stop in any case, by `time.monotonic`.
    """
    loader = Runner.build_dataloader(loader_cfg, seed=0)
    batches = iter(loader)
    for _ in range(2 * loader.num_workers):
        next(batches)
    start, images, least = time.monotonic(), 0, LEAST * loader.num_workers
    for number in itertools.count(1):
        batch = next(batches)
        images += sum(len(part) for part in batch['inputs'].values())
        now = time.monotonic()
        if now > ends or (now > start + seconds and number >= least):
            break
    shapes = {k: list(v[0].shape) for k, v in batch['inputs'].items()}
    del batches, loader
    return dict(
        images_s=images / (now - start),
        images=images,
        batches=number,
        least=least,
        shapes=shapes,
    )


def eaten(earlier: dict[str, dict]) -> dict[str, float]:
    """Images a second that the steps of (d) take, by their form."""
    release = earlier.get('d', {})
    return {
        name: 2e3 * release['batch'] / form['whole']['median']
        for name, form in release.get('forms', {}).items()
        if 'whole' in form
    }


def check(results: dict, rehearse: bool) -> list[str]:
    """Find forms without images, or with others than asked for."""
    faults = []
    for name in FORMS:
        form = results['forms'].get(name)
        if form is None:
            faults.append(f'{name}: not measured')
        elif form['images_s'] <= 0 or set(form['shapes']) != {
            'source',
            'target',
        }:
            faults.append(f'{name}: {form["images"]} images, {form["shapes"]}')
        elif form['batches'] < form['least']:
            faults.append(
                f'{name}: {form["batches"]} batches, too few to tell a speed; '
                f'expected {form["least"]}'
            )
    return faults
