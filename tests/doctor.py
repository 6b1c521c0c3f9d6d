# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Configs that read a minitown, and what the doctor finds in it."""

from __future__ import annotations

from pathlib import Path

from mmengine.config import Config

from mmseg_cag.data_check.examine import examine
from mmseg_cag.data_check.report import Report
from tests import tiny


def gta_config(town: Path) -> Config:
    """A run of CAG from GTA5's form to that of Cityscapes."""
    cfg = tiny.run_config(town, town.parent / 'work')
    cfg.test_dataloader = cfg.val_dataloader
    cfg.test_evaluator = cfg.val_evaluator
    cfg.test_cfg = dict(type='TestLoop')
    return cfg


def synthia_config(town: Path) -> Config:
    """The same with SYNTHIA's form as the source, without anchors."""
    cfg = gta_config(town)
    cfg.train_dataloader.dataset.domains.source = tiny.synthia(town)
    cfg.default_hooks.pop('anchors')
    return cfg


def check(cfg: Config, sample: int | None = None, workers: int = 1) -> Report:
    """Examine all that a config reads."""
    return examine(cfg, sample, workers)


def names_of(report: Report) -> dict[str, list[str]]:
    """Names of the findings, notes left out, and where they are."""
    names: dict[str, list[str]] = {}
    for finding in report.all_findings:
        if finding.kind.level:
            names.setdefault(finding.name, []).append(finding.where)
    return names
