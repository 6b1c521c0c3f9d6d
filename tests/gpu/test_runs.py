# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Whole runs on a GPU: resumed, in a process group, compiled."""

from __future__ import annotations

import copy
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torch.distributed
from gpu_day.precision import allow_tf32
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.model import MMDistributedDataParallel, convert_sync_batchnorm
from mmengine.optim import build_optim_wrapper
from mmengine.runner import Runner
from mmseg.registry import MODELS
from torch import nn

from tests import tiny
from tests.gpu.methods import moved

pytestmark = pytest.mark.gpu
STAGE_ITERS = 3
DONE = 4  # iterations that the stopped run has done


@pytest.fixture()
def deterministic(device) -> Iterator[None]:
    """Put back what a deterministic run sets."""
    cudnn = torch.backends.cudnn
    before = cudnn.deterministic, cudnn.benchmark
    yield
    torch.use_deterministic_algorithms(False)
    cudnn.deterministic, cudnn.benchmark = before


def run(root: Path, name: str, model: dict, **changes: object) -> dict:
    cfg = tiny.run_config(root, root / name, STAGE_ITERS)
    cfg.model = model
    cfg.randomness = dict(seed=5, deterministic=True)
    cfg.env_cfg.dist_cfg.backend = 'nccl'
    if model['type'] != 'CAGSegmentor':
        tiny.one_stage(cfg, 2 * STAGE_ITERS)
    if model['type'] in ('AdversarialSegmentor', 'CLANSegmentor'):
        cfg.optim_wrapper = tiny.joint_optim()
    cfg.merge_from_dict(changes)
    cfg.val_dataloader = cfg.val_evaluator = cfg.val_cfg = None
    runner = Runner.from_cfg(cfg)
    runner.train()
    return runner.model.state_dict()


@pytest.mark.parametrize(
    'model',
    [
        tiny.cag(by=('anchor', 'probability'), margin='auto', precision=0.3),
        tiny.dacs(),
        tiny.clan(),
    ],
    ids=lambda model: model['type'],
)
def test_a_resumed_run_is_the_one_never_stopped(
    model, tmp_path, device, deterministic
):
    tiny.write_towns(tmp_path)
    whole = run(tmp_path, 'whole', copy.deepcopy(model))
    end = tmp_path / 'whole' / f'iter_{DONE}.pth'
    resumed = run(
        tmp_path,
        'resumed',
        copy.deepcopy(model),
        load_from=str(end),
        resume=True,
    )
    assert whole.keys() == resumed.keys()
    wrong = [k for k in whole if not torch.equal(whole[k], resumed[k])]
    assert wrong == []
    assert all(value.device.type == device for value in whole.values())


class Look(Hook):
    """Record what images and labels of a run are pinned."""

    def __init__(self) -> None:
        self.images: list[bool] = []
        self.labels: list[bool] = []

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict
    ) -> None:
        for images in data_batch['inputs'].values():
            self.images += [image.is_pinned() for image in images]
        for sample in data_batch['data_samples']['source']:
            self.labels.append(sample.gt_sem_seg.data.is_pinned())


@pytest.mark.parametrize('workers', [0, 1])
def test_a_run_pins_its_images_and_labels(workers, tmp_path, on_gpu):
    tiny.write_towns(tmp_path)
    cfg = tiny.run_config(tmp_path, tmp_path / 'run', 1, workers)
    cfg.val_dataloader = cfg.val_evaluator = cfg.val_cfg = None
    runner, look = Runner.from_cfg(cfg), Look()
    runner.register_hook(look)
    runner.train()
    assert look.images == [True] * 8 and look.labels == [True] * 4


@pytest.fixture()
def group(device) -> Iterator[str]:
    """A process group of this process alone."""
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        port = probe.getsockname()[1]
    backend = 'nccl' if device == 'cuda' else 'gloo'
    torch.distributed.init_process_group(
        backend,
        init_method=f'tcp://127.0.0.1:{port}',
        rank=0,
        world_size=1,
    )
    yield backend
    torch.distributed.destroy_process_group()


def weights(model: nn.Module, device: str, wrap: bool) -> dict:
    """Take two steps; returns the weights."""
    batch = moved(tiny_batch(), device)
    model = model.to(device)
    ids = [0] if device == 'cuda' else None
    stepper = model
    if wrap:
        stepper = MMDistributedDataParallel(
            model, device_ids=ids, broadcast_buffers=False,
            find_unused_parameters=False,
        )  # fmt: skip
    # Adversarial methods have two optimizers.
    cfg = tiny.joint_optim()
    if not hasattr(model, 'discriminators'):
        cfg = dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=1e-2))
    optim = build_optim_wrapper(model, cfg)
    for seed in range(2):
        torch.manual_seed(seed)
        stepper.train_step(batch, optim)
    return model.state_dict()


def tiny_batch() -> dict:
    torch.manual_seed(2)
    return tiny.raw_batch()


def make(config: Config) -> nn.Module:
    torch.manual_seed(0)
    model = MODELS.build(config).train()
    for module in model.modules():
        if isinstance(module, nn.Dropout2d):
            module.p = 0.0
    return model


KINDS = {'cag': tiny.cag, 'dacs': tiny.dacs, 'clan': tiny.clan}


@pytest.mark.parametrize('synchronised', [False, True])
@pytest.mark.parametrize('kind', KINDS)
def test_a_group_of_one_process(kind, synchronised, device, group, exact):
    if synchronised and device == 'cpu':
        pytest.skip('torch synchronises batch norms only on GPUs')
    alone = weights(make(KINDS[kind]()), device, wrap=False)
    model = make(KINDS[kind]())
    if synchronised:
        # New modules, in the mode of new ones.
        model = convert_sync_batchnorm(model).train()
        assert any(isinstance(m, nn.SyncBatchNorm) for m in model.modules())
    found = weights(model, device, wrap=True)
    for key, value in alone.items():
        torch.testing.assert_close(found[key], value, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize('amp', [None, torch.bfloat16])
def test_a_compiled_backbone(amp, device):
    model = make(tiny.cag()).to(device).requires_grad_(True)
    compiled = copy.deepcopy(model)
    # A CPU needs a compiler for the fastest form.
    options = {} if device == 'cuda' else dict(backend='aot_eager')
    compiled.backbone.compile(**options)
    batch = moved(tiny_batch(), device)
    found = []
    for network in (model, compiled):
        torch.manual_seed(1)
        # As part (d) computes; in float32 TF32 would not be close enough.
        with (
            allow_tf32(amp is not None),
            torch.autocast(device, amp or torch.bfloat16, amp is not None),
        ):
            data = network.data_preprocessor(copy.deepcopy(batch), True)
            losses = network(**data, mode='loss')
        loss = network.parse_losses(losses)[0]
        loss.backward()
        slope = [p.grad.flatten() for p in network.backbone.parameters()]
        found.append((loss.detach(), torch.cat(slope)))
    limit = 1e-3 if amp is None else 3e-2
    (loss, slope), (other, near) = found
    torch.testing.assert_close(other, loss, rtol=limit, atol=limit)
    assert (near - slope).norm() <= 10 * limit * slope.norm()
