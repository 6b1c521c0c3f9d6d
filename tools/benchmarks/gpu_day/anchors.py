# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""(c) The anchor operations against the bandwidth of the same process."""

from __future__ import annotations

import math
import time

from speed.measure import measure_operations
from speed.step import Form

from gpu_day.setup import Setup

# Features of a domain in the release's setting: N, C, h, w; and classes.
SHAPES = ((4, 256, 128, 224), (2, 8, 16, 28))
CLASSES = (19, 150)
ROUNDS = (15, 1)
# Seconds that the first form takes at most.
FIRST = (6, 0)
FORMS = (
    Form(),
    Form('bf16', channels_last=True),
    Form('bf16'),
    Form('fp16', channels_last=True),
)


def measure(setup: Setup) -> dict:
    """Time the operations in each form, with few and with many classes."""
    found: dict = dict(shape=setup.choose(*SHAPES), forms={}, left=[])
    # Loops take longer with more classes.
    pace = setup.choose(*FIRST) / CLASSES[0]
    for classes in setup.choose(CLASSES, CLASSES[:1]):
        for form in setup.choose(FORMS, FORMS[:2]):
            name = f'{form}, {classes} classes'
            if not setup.allows(pace * classes):
                found['left'].append(name)
                continue
            start = time.monotonic()
            found['forms'][name] = measure_operations(
                found['shape'],
                classes,
                form,
                rounds=setup.choose(*ROUNDS),
                device=setup.device,
            )
            pace = (time.monotonic() - start) / classes
            setup.save(found)
    return found


def check(results: dict, rehearse: bool) -> list[str]:
    """Find operations without a time, or faster than memory allows."""
    faults = []
    for form, operations in results['forms'].items():
        for name, found in operations.items():
            median, floor = found['median'], found['floor']
            if not (0 < median < math.inf and 0 < floor < math.inf):
                faults.append(f'{name}, {form}: {median} ms over {floor} ms')
            # In a rehearsal, a map of this size fits into the caches.
            elif not rehearse and median < 0.5 * floor:
                faults.append(
                    f'{name}, {form}: {median:.3f} ms, less than half of the '
                    f'floor of {floor:.3f} ms'
                )
    return faults if results['forms'] else ['no form was measured']
