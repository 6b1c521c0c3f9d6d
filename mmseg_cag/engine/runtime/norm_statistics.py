# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Re-estimation of batch-norm statistics on unlabelled target images."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.dist import all_reduce, is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmseg.models.segmentors import EncoderDecoder
from mmseg.registry import DATASETS, HOOKS, MODELS
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.data import DataLoader, Subset

from mmseg_cag.datasets.dataset_configs import changed_leaves, spread
from mmseg_cag.engine.records.descent import (
    DESCENT,
    OF_TARGET,
    data_in,
    inherited,
    unique,
)
from mmseg_cag.engine.resilience.signals import guard_workers
from mmseg_cag.errors import UserError
from mmseg_cag.fileio.safe_load import read_checkpoint
from mmseg_cag.models.domain_norms import key_of_predicted
from mmseg_cag.models.segmentors.base import bare_model, evaluating
from mmseg_cag.models.student import (
    build_student,
    preprocessor_of,
    student_pipeline,
)
from mmseg_cag.progress import track

# legend: N images, H W image

STATISTICS = ('running_mean', 'running_var')


@HOOKS.register_module()
class NormStatisticsHook(Hook):
    """Estimate batch-norm statistics on the target during and after training.

    Each estimate is one pass over target images with the evaluation pipeline,
    without labels. At the start of a run it updates the student, and
    the teacher gets a copy; at the end, before the last checkpoint, it updates
    the student and a mean teacher.

    The result depends only on the weights, so a resumed run gets the same.

    Args:
        start: Whether to estimate at the start of the run.
        end: Whether to estimate at its end.
        interval: Iterations between further estimates, such as the validation
            interval; None for none.
        images: Maximum number of images of an estimate, evenly spaced over
            the target; None for all.

    Raises:
        UserError: ``interval`` or ``images`` is not positive.
    """

    # In an iteration, before `DoNoHarmHook` looks at the network.
    priority = 'HIGH'

    def __init__(
        self,
        start: bool = True,
        end: bool = True,
        interval: int | None = None,
        images: int | None = None,
    ) -> None:
        for key, value in (('interval', interval), ('images', images)):
            if value is not None and not (
                isinstance(value, int) and value >= 1
            ):
                raise UserError(
                    f'NormStatisticsHook: {key}={value!r}, expected a whole '
                    'number from 1, or None'
                )
        self.start, self.end, self.interval = start, end, interval
        self.images = images

    def before_train(self, runner: Runner) -> None:
        """Check that the config has a target.

        Raises:
            UserError: It has no target images.
        """
        target_loader(runner.cfg)

    def before_train_epoch(self, runner: Runner) -> None:
        """Estimate the student's statistics; copy them to the teacher."""
        if not self.start or runner.iter > 0:
            return
        model = bare_model(runner)
        self._estimate(runner, model, 'student')
        teacher = getattr(model, 'teacher', None)
        if teacher is None or teacher.is_fixed:
            return
        for name, norm in norms_of(teacher.module).items():
            own = dict(model.get_submodule(name).named_buffers())
            for key, statistic in norm.named_buffers():
                statistic.copy_(own[key])

    def after_train_iter(
        self, runner: Runner, batch_idx: int, **kwargs: object
    ) -> None:
        """Estimate student and teacher statistics at the interval."""
        done = batch_idx + 1
        at_end = self.end and done == runner.max_iters
        if not at_end and (self.interval is None or done % self.interval):
            return
        model = bare_model(runner)
        self._estimate(runner, model, 'student')
        teacher = getattr(model, 'teacher', None)
        if teacher is not None and not teacher.is_fixed:
            self._estimate(runner, teacher.module, 'teacher')

    def _estimate(self, runner: Runner, network: nn.Module, name: str) -> None:
        if not norms_of(network):
            runner.logger.info(f'The {name} has no batch norms to estimate')
            return
        estimate_on_target(
            network,
            bare_model(runner).data_preprocessor,
            build_target_loader(
                runner.cfg, network, runner.seed, images=self.images
            ),
            f"Statistics of the {name}'s batch norms",
        )


def estimate_on_target(
    network: nn.Module, preprocessor: nn.Module, loader: DataLoader, title: str
) -> None:
    """Estimate a network's statistics on a loader's batches."""
    batches = (preprocessor(batch, False) for batch in loader)
    hidden = not is_main_process()
    shown = track(batches, title, total=len(loader), disable=hidden)
    estimate_statistics(network, shown)


@torch.no_grad()
def estimate_statistics(
    network: EncoderDecoder, batches: Iterable[dict]
) -> None:
    """Estimate the statistics of a network's batch norms.

    Each statistic becomes the mean over batches of the batch statistic, as in
    `torch.optim.swa_utils.update_bn`; but all other modules, such as dropout,
    stay in evaluation mode. With several ranks the mean is over all ranks'
    batches.

    Args:
        network: A segmentor; nothing else of it changes.
        batches: Preprocessed batches: ``inputs`` (N, 3, H, W) and
            ``data_samples``. Each is predicted as in evaluation.

    Raises:
        UserError: There is no batch, or a batch is too small for a norm.
    """
    norms = norms_of(network)
    with estimating(network, norms):
        for batch in batches:
            metas = [sample.metainfo for sample in batch['data_samples']]
            try:
                network.inference(batch['inputs'], metas)
            except ValueError as error:
                if 'more than 1 value per channel' not in str(error):
                    raise
                raise UserError(
                    'val_dataloader.batch_size: a batch norm sees one value '
                    f'of {len(metas)} image, expected a batch of 2 or more '
                    'to estimate its statistics'
                ) from None
        for norm in norms.values():
            _merge_ranks(norm)
    if not any(norm.num_batches_tracked for norm in norms.values()):
        raise UserError(
            'the target has no images, expected some to estimate the '
            'statistics of batch norms on'
        )


def norms_of(network: EncoderDecoder) -> dict[str, _BatchNorm]:
    """Return the batch norms used in prediction, by name."""
    own = getattr(
        network, 'prediction_parts', ('backbone', 'neck', 'decode_head')
    )
    return {
        name: module
        for name, module in network.named_modules()
        if isinstance(module, _BatchNorm)
        and module.track_running_stats
        and name.split('.')[0] in own
    }


@contextmanager
def estimating(
    network: nn.Module, norms: dict[str, _BatchNorm]
) -> Iterator[None]:
    """Reset norms and let them accumulate inside; restore all modes.

    A norm without any batch keeps its statistics.
    """
    before = {
        norm: (
            norm.momentum,
            {k: v.clone() for k, v in norm.named_buffers(recurse=False)},
        )
        for norm in norms.values()
    }
    with evaluating(network):
        for norm in norms.values():
            norm.reset_running_stats()
            norm.momentum = None  # the mean over all batches
            norm.training = True
        try:
            yield
        finally:
            for norm, (momentum, state) in before.items():
                norm.momentum = momentum
                if not norm.num_batches_tracked:
                    for key, statistic in norm.named_buffers(recurse=False):
                        statistic.copy_(state[key])


def _merge_ranks(norm: _BatchNorm) -> None:
    total = norm.num_batches_tracked.clone()
    all_reduce(total)
    share = norm.num_batches_tracked / total.clamp(min=1)
    for name in STATISTICS:
        statistic = getattr(norm, name).mul_(share)
        all_reduce(statistic)
    norm.num_batches_tracked.copy_(total)


def target_loader(cfg: Config, domain: str | None = None) -> dict:
    """Make the config of an evaluation loader of all target images.

    Args:
        cfg: The run's config. Uses the images of the training's target domain
            or else of ``target_dataset``, with the pipeline, batch size and
            workers of evaluation. Labels are not read.

        domain: Member of a `DomainPool` to select; None for all targets.

    Raises:
        UserError: The config has neither, or no such member.
    """
    dataset = cfg['train_dataloader']['dataset']
    skips = dataset.get('skip_bad_files')
    target = dataset.get('domains', {}).get('target')
    target = target or cfg.get('target_dataset')
    if not target:
        raise UserError(
            'train_dataloader.dataset.domains.target is missing, expected the '
            'images for estimating batch-norm statistics'
        )
    if domain is not None:
        members = target.get('members') or {}
        if not members.get(domain):
            raise UserError(
                'train_dataloader.dataset.domains.target: no domain '
                f'{domain}, expected one of {", ".join(members) or "none"}'
            )
        target = members[domain]
    steps = student_pipeline(cfg)

    def unlabelled(part: dict) -> dict:
        prefix = dict(part.get('data_prefix', {}))
        prefix.pop('seg_map_path', None)
        return {**part, 'pipeline': steps, 'data_prefix': prefix}

    images = changed_leaves(target, unlabelled)
    if skips:
        images = dict(type='SkipBadFiles', dataset=images)
    known = ('batch_size', 'num_workers', 'pin_memory')
    like = cfg.get('test_dataloader') or {'batch_size': 1}
    return dict(
        {key: like[key] for key in known if key in like},
        sampler=dict(type='DefaultSampler', shuffle=False, round_up=False),
        dataset=images,
    )


def build_target_loader(
    cfg: Config,
    network: nn.Module,
    seed: int | None = None,
    domain: str | None = None,
    images: int | None = None,
) -> DataLoader:
    """Build the loader of `target_loader` for a network's norms.

    Its images, or at most ``images`` of them, evenly spaced.
    """
    settings = target_loader(cfg, domain)
    if images is not None:
        dataset = DATASETS.build(settings['dataset'])
        settings['dataset'] = Subset(dataset, spread(dataset, images))
    # Synchronised norms need the same number of batches on each rank.
    waiting = (nn.SyncBatchNorm,)
    if any(isinstance(module, waiting) for module in network.modules()):
        settings['sampler']['round_up'] = True
    loader = Runner.build_dataloader(settings, seed=seed)
    guard_workers(loader)
    return loader


def reestimated_checkpoint(
    cfg: Config, path: str | Path, domain: str | None = None
) -> dict:
    """Read a checkpoint and re-estimate its student's statistics.

    Args:
        cfg: Its config, or the config of a run that starts from it.
        path: The checkpoint.
        domain: As for `target_loader`.

    Returns:
        The checkpoint with target statistics of the student in its
        ``state_dict``; with statistics of each domain, in place of those of
        ``domain`` or, if they have none of it, of the predicted one. Its
        descent lists the target.

    Raises:
        MissingFileError: There is no such file.
        UserError: It does not fit the network, the network has no batch norms,
            or the config has no target.
    """
    checkpoint = read_checkpoint(path)
    weights = checkpoint['state_dict']
    model = copy.deepcopy(cfg.model)
    if domain in (model.get('domain_norms') or {}).get('domains', []):
        model.domain_norms.predict = domain
    network = build_student(model, weights, path).to(get_device())
    if not norms_of(network):
        raise UserError(
            f'{path}: its network has no batch norms, expected a network with '
            'batch norms to estimate'
        )
    normalised = cfg.model.data_preprocessor
    own = domain in (normalised.get('domains') or {})
    settings = preprocessor_of(normalised, domain if own else 'target')
    preprocessor = MODELS.build(settings).to(get_device())
    loader = build_target_loader(cfg, network, domain=domain)
    title = 'Statistics of batch norms'
    estimate_on_target(network, preprocessor, loader, title)
    for name, norm in norms_of(network).items():
        for key, value in norm.named_buffers():
            own = key_of_predicted(f'{name}.{key}', model.get('domain_norms'))
            weights[own] = value.cpu()
    stated = cfg.get('licences')
    images = target_loader(cfg, domain)['dataset']
    descent = inherited(path, 're-estimated from', stated)
    descent += data_in(images, OF_TARGET, stated)
    meta = {**(checkpoint.get('meta') or {}), DESCENT: unique(descent)}
    return {**checkpoint, 'meta': meta}
