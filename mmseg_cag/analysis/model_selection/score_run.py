# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

from rich.progress import track

from mmseg_cag.analysis.runs.run import Run

from .choose import choose
from .labelled import evaluate_missing, read_mious
from .score import Scorer

SCORES = 'scores.json'


def score_run(
    run: Run, images: int, pixels: int, evaluates: bool
) -> list[dict]:
    """Score all checkpoints of a run and write ``scores.json`` into it.

    Args:
        run: The run.
        images: Images of each domain that are looked at.
        pixels: Target pixels that the neighbourhood density is of.
        evaluates: Whether checkpoints without a noted mIoU are evaluated.

    Returns:
        For each checkpoint its name, iteration, stage, scores and mIoU.

    Raises:
        UserError: A checkpoint is damaged or data is missing.
    """
    scorer = Scorer.of(run.cfg, images, pixels)
    found = {
        iteration: scorer(checkpoint)
        for iteration, checkpoint in track(
            run.checkpoints.items(), f'Score {run.folder}'
        )
    }
    # After the scores, which know nothing of it.
    results = read_mious(run.folder)
    if evaluates:
        results = evaluate_missing(run, results)
    scores = [
        {
            'checkpoint': run.checkpoints[iteration].name,
            'iter': iteration,
            'stage': run.stage_of(iteration),
            **values,
            'mIoU': results.get(iteration),
        }
        for iteration, values in found.items()
    ]
    write_scores(run.folder / SCORES, scores)
    return scores


def write_scores(path: Path, scores: Sequence[dict]) -> None:
    """Write scores and what they would have chosen, whole or not at all."""
    draft = path.with_name(f'{path.name}.part')
    content = {'scores': list(scores), 'choices': choose(scores)}
    draft.write_text(json.dumps(content, indent=1))
    os.replace(draft, path)
