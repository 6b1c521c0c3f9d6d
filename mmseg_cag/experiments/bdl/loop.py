# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""BDL's loop as one command, restarted where it stopped."""

from __future__ import annotations

from mmengine.config import Config
from mmengine.dist import barrier
from mmengine.logging import print_log

from mmseg_cag.errors import UserError
from mmseg_cag.experiments.run_lock import locked

from .plan import load_steps


def train_loop(cfg: Config, until: str | None = None) -> None:
    """Run the steps of a loop, each unless its result is there.

    Args:
        cfg: The loop's config, with ``work_dir`` and ``launcher``.
        until: Name of the step to end with; by default the last.

    Raises:
        UserError: A step cannot run, or a folder holds the result of other
            settings or of other inputs.
    """
    steps = load_steps(cfg)
    names = [step.name for step in steps]
    if until is not None:
        if until not in names:
            raise UserError(
                f'--until {until}: no such step, expected one of '
                f'{", ".join(names)}'
            )
        steps = steps[: names.index(until) + 1]
    for step in steps:
        step.check()
    with locked([cfg]):
        for position, step in enumerate(steps, start=1):
            which = f'step {position} of {len(steps)}'
            print_log(f'{which}: {step.name}', 'current')
            step.run()
            barrier()
