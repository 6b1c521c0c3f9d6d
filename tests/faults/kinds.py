# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""All kinds of faults, by the name that the table gives them."""

from __future__ import annotations

import signal
from collections.abc import Callable
from functools import partial

from . import damage, kills, processes
from .laboratory import Laboratory
from .methods import METHODS

Fault = Callable[[Laboratory], None]

KINDS: dict[str, Fault] = {
    **{
        f'SIGKILL of training, {method}': partial(
            kills.kill_training, method=method
        )
        for method in METHODS
    },
    'SIGKILL of an anchor pass': kills.kill_anchor_pass,
    'SIGKILL of a conversion of labels': kills.kill_conversion,
    'SIGKILL of a translation': kills.kill_translation,
    'SIGKILL of making pseudo labels': kills.kill_labelling,
    'SIGTERM or SIGINT': kills.stop_training,
    'truncated checkpoint': partial(
        damage.damage_checkpoint, damage=damage.truncate
    ),
    'corrupted checkpoint': partial(
        damage.damage_checkpoint, damage=damage.corrupt
    ),
    'read error of an image': damage.fail_to_read,
    'full disk': damage.fill_disk,
    'clock jumps, and SIGKILL': damage.jump_clock,
    'SIGKILL of a data worker': processes.kill_worker,
    'a data worker that never answers': processes.silence_worker,
    'full /dev/shm': processes.fill_shared_memory,
    'SIGKILL of a rank of two': partial(
        processes.signal_rank, number=signal.SIGKILL
    ),
    'SIGTERM to a rank of two': partial(
        processes.signal_rank, number=signal.SIGTERM
    ),
    'second run in the folder': processes.start_another,
}
