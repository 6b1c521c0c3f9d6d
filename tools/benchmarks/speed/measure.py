# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import torch
from mmengine.config import Config

from .loops import LOOPS
from .memory import extra_memory
from .operations import Maps, bind, floor_bytes, operations
from .step import Form, Step, crop_size, draw_batch, load_batch
from .timing import time_in_turn, time_steps_in_turn

MEMORY_FORMATS = {
    True: torch.channels_last,
    False: torch.contiguous_format,
}
# Suffixes of the names of the measured functions.
LOOP, PLAIN = ' by loops', ''
DTYPES = {None: torch.float32, 'bf16': torch.bfloat16, 'fp16': torch.float16}


def measure_operations(
    shape: tuple[int, int, int, int],
    num_classes: int,
    form: Form,
    *,
    rounds: int,
    device: str,
) -> dict[str, dict]:
    """Time the anchor operations, the loops and memory traffic.

    Args:
        shape: N, C, h and w of the features.
        num_classes: Classes K.
        form: Dtype and memory order of the features.
        rounds: Number of timed calls.
        device: Device.

    Returns:
        By operation: its times, those of its loop (``loop``) if there is one,
        milliseconds of its ``floor``, and ``memory``, its extra memory beside
        arguments and results, as a share of the feature map.
    """
    maps = _draw(shape, num_classes, form, device)
    copy = torch.empty_like(maps.feat.detach())
    functions = {
        'copy': lambda: copy.copy_(maps.feat.detach()),
        **bind(operations(), maps, PLAIN),
        **bind(LOOPS, maps, LOOP),
    }
    times = time_in_turn(functions, rounds, device)
    # A copy reads the map and writes it.
    speed = 2 * _bytes(maps.feat) / times['copy']['median']
    results = {}
    for name, moved in floor_bytes(maps).items():
        taken = extra_memory(functions[name], device)
        results[name] = dict(
            times[name],
            loop=times.get(name + LOOP),
            floor=moved / speed,
            memory=(taken - _result_bytes(name, maps)) / _bytes(maps.feat),
        )
    return results


def measure_scaling(
    shape: tuple[int, int, int, int],
    classes: tuple[int, int],
    form: Form,
    *,
    rounds: int,
    device: str,
) -> dict[str, dict]:
    """Time the operations with more classes and one to four images.

    Args:
        shape: N, C, h and w of the features; N for the classes alone.
        classes: Few and many classes K.
        form: Dtype and memory order of the features.
        rounds: Number of timed calls.
        device: Device.

    Returns:
        By operation, by ``classes=K`` and ``images=N``: times.
    """
    few, many = classes
    settings = {f'classes={k}': (shape, k) for k in classes} | {
        f'images={n}': ((n, *shape[1:]), few) for n in (1, 2, 4)
    }
    functions = {}
    for name, (size, k) in settings.items():
        maps = _draw(size, k, form, device)
        functions |= bind(operations(), maps, f'|{name}')
    times = time_in_turn(functions, rounds, device)
    return {
        operation: {name: times[f'{operation}|{name}'] for name in settings}
        for operation in operations()
    }


def measure_step(
    cfg: Config,
    form: Form,
    checkpoint: str | None = None,
    load: bool = False,
    *,
    rounds: int,
    device: str,
) -> dict:
    """Time a config's step and its bare passes, plain and in a form.

    Args:
        cfg: A CAG config.
        form: How the step is computed.
        checkpoint: Weights; None for random ones.
        load: Whether to load images of its data, else random ones.
        rounds: Number of timed calls.
        device: Device.

    Returns:
        ``batch``, ``size``, ``stage_iters``, ``stages`` of the config;
        ``active``, the share of target pixels with a label by anchors, and
        ``agreement``, that of those with the same in both forms; ``forms``,
        by form the times of ``whole``, ``passes`` and ``anchors`` and the
        ``memory`` of a step in bytes.
    """
    torch.backends.cudnn.benchmark = cfg.env_cfg.get('cudnn_benchmark', False)
    batch = load_batch(cfg) if load else draw_batch(cfg)
    forms = dict.fromkeys([Form(), form])
    steps = {str(f): Step(cfg, f, device, batch, checkpoint) for f in forms}
    labels = [step.labels() for step in steps.values()]
    ignored = next(iter(steps.values())).model.pseudo_label_head.ignore_index
    functions = {
        f'{name}|{part}': getattr(step, part)
        for name, step in steps.items()
        for part in ('whole', 'passes', 'anchors')
    }
    times = time_steps_in_turn(functions, rounds, device)
    measured: dict[str, dict] = {
        name: dict(memory=extra_memory(step.whole, device))
        for name, step in steps.items()
    }
    for key, value in times.items():
        name, part = key.split('|')
        measured[name][part] = value
    return dict(
        batch=cfg.train_dataloader.batch_size,
        size=list(crop_size(cfg)),
        stage_iters=cfg.train_cfg.stage_iters,
        stages=cfg.train_cfg.stages,
        active=(labels[0] != ignored).float().mean().item(),
        agreement=(labels[0] == labels[-1]).float().mean().item(),
        forms=measured,
    )


def _draw(
    shape: tuple[int, int, int, int], num_classes: int, form: Form, device: str
) -> Maps:
    return Maps.draw(
        shape,
        num_classes,
        device,
        DTYPES[form.amp],
        MEMORY_FORMATS[form.channels_last],
    )


def _bytes(tensor: torch.Tensor) -> int:
    return tensor.numel() * tensor.element_size()


def _result_bytes(name: str, maps: Maps) -> int:
    """Return the bytes of an operation's result: gradient or labels."""
    if name == 'pseudo labels':
        return _bytes(maps.labels)
    return _bytes(maps.feat) if 'loss' in name else 0
