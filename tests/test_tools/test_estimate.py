# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""tools/analysis/estimate.py against whole steps."""

from __future__ import annotations

import ast
import json
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmengine.analysis import FlopAnalyzer
from mmengine.config import Config
from torch import nn

from tests import tiny

CONFIGS = Path(__file__).parents[2] / 'configs/minitown'
TOOL = Path(__file__).parents[2] / 'tools/analysis/estimate.py'


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    def tool(cfg: Config, *options: object) -> str:
        path = tmp_path / 'config.py'
        cfg.dump(path)
        arguments = [str(TOOL), str(path), *map(str, options)]
        monkeypatch.setattr('sys.argv', arguments)
        runpy.run_path(str(TOOL), run_name='__main__')
        return capsys.readouterr().out

    return tool


def config(tmp_path: Path, kind: str) -> Config:
    cfg = tiny.run_config(tmp_path, tmp_path / 'run')
    cfg.train_dataloader.batch_size = 6
    if kind == 'vit':
        cfg.model.backbone = dict(
            type='DINOv2',
            arch=dict(dim=48, depth=2, heads=3),
            pretrain_size=56,
            resize=1.0,
        )
        cfg.model.decode_head.in_channels = 48
    if kind == 'dacs':
        cfg.model = tiny.dacs()
        tiny.one_stage(cfg, 6)
    return cfg


@pytest.mark.parametrize('kind', ['cag', 'dacs', 'vit'])
def test_the_estimate_is_what_a_whole_step_takes(kind, run, tmp_path):
    cfg = config(tmp_path, kind)
    size = (112, 224)
    found = json.loads(run(cfg, '--size', *size, '--child').splitlines()[-1])
    estimate = runpy.run_path(str(TOOL))
    steps = estimate['Steps'](cfg)
    whole = steps.estimate(6, size)
    memory = whole.memory + sum(steps.kept().values())
    assert memory == pytest.approx(found['memory'], rel=0.15)
    assert whole.flops == pytest.approx(found['flops'], rel=0.05)


def source_only(tmp_path: Path, kind: str) -> Config:
    if kind != 'vit':
        cfg = Config.fromfile(CONFIGS / f'{kind}.py')
        cfg.model.init_cfg = cfg.model.backbone.init_cfg = None
        return cfg
    cfg = config(tmp_path, kind)
    network = {key: cfg.model[key] for key in ('backbone', 'decode_head')}
    cfg.model = dict(tiny.segmentor(), **network)
    cfg.train_dataloader.dataset = tiny.gta(tmp_path)
    return cfg


@pytest.mark.parametrize('kind', ['source_only', 'source_only_mobilenet-v2'])
def test_flops_of_mmengine(kind, tmp_path):
    """Which counts a multiply-add as one, and forward passes only."""
    cfg, size = source_only(tmp_path, kind), (64, 128)
    steps = runpy.run_path(str(TOOL))['Steps'](cfg)
    found = steps.probe(2, size).flops
    other = FlopAnalyzer(steps.model.eval(), (torch.randn(2, 3, *size),))
    other.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    assert found == pytest.approx(3 * 2 * other.total(), rel=0.15)


def test_flops_of_a_transformer(tmp_path):
    """By hand; the first layer's input has no gradient."""
    steps = runpy.run_path(str(TOOL))['Steps'](source_only(tmp_path, 'vit'))
    found = steps.probe(2, (112, 224)).flops
    dim, depth, patches = 48, 2, 8 * 16
    tokens = patches + 1
    patch = patches * 3 * 14**2 * dim
    linear = depth * tokens * 12 * dim**2
    attention = depth * 2 * tokens**2 * dim
    head = patches * 8 * (9 * dim + 19)
    # The attention's backward pass computes its scores once more.
    whole = 2 * patch + 3 * (linear + head) + 3.5 * attention
    assert found == pytest.approx(2 * 2 * whole, rel=0.001)


def test_flops_are_those_of_the_formulas():
    attention = nn.functional.scaled_dot_product_attention
    estimate = runpy.run_path(str(TOOL))
    n, heads, tokens, d = 2, 3, 50, 16
    q = torch.randn(n, heads, tokens, d, requires_grad=True)
    with estimate['FlopCounterMode'](
        display=False, custom_mapping=estimate['FORMULAS']
    ) as counter:
        attention(q, q, q)
    assert counter.get_total_flops() == 2 * 2 * n * heads * tokens**2 * d


def test_memory_of_the_process_that_starts_it_does_not_count():
    text = TOOL.read_text()
    [function] = [
        ast.get_source_segment(text, node)
        for node in ast.parse(text).body
        if getattr(node, 'name', '') == 'highest_resident'
    ]
    child = f'from pathlib import Path\n{function}\nprint(highest_resident())'
    parent = (
        'import subprocess, sys\n'
        'block = bytearray(b"1" * 200_000_000)\n'
        f'subprocess.run([sys.executable, "-c", {child!r}], check=True)'
    )
    done = subprocess.run(
        [sys.executable, '-c', parent], capture_output=True, check=True
    )
    assert 1_000_000 < int(done.stdout) < 100_000_000


def test_it_shows_memory_and_hours(run, tmp_path):
    cfg = config(tmp_path, 'cag')
    shown = run(cfg, '--gpus', 4, '--tflops', 50)
    for part in ('GiB', 'TFLOP', 'hours', '4 GPUs'):
        assert part in shown


def test_sizes_that_nothing_fixes_are_asked_for(run, tmp_path):
    cfg = config(tmp_path, 'cag')
    for domain in cfg.train_dataloader.dataset.domains.values():
        domain.pipeline = [dict(type='LoadImageFromFile')]
    with pytest.raises(SystemExit, match='expected --size H W'):
        run(cfg)
