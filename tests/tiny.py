# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""A network, data sets and a run that are small enough for a test.

The data sets have their published forms on disk. A scene has a few of the 19
classes; the number of classes is still 19.
"""

from __future__ import annotations

import math
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from zipfile import ZIP_DEFLATED, ZipFile

import cv2
import numpy as np
import torch
from mmcv.cnn import ConvModule
from mmengine.config import Config, ConfigDict
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.model import BaseModule
from mmengine.runner import Runner
from mmengine.structures import PixelData
from mmseg.registry import HOOKS, MODELS
from mmseg.structures import SegDataSample
from PIL import Image

from mmseg_cag.monitor.observer_hook import WatchHook

SIZE = (32, 64)  # height and width, pixels
VOID = 255
ROAD, BUILDING, SKY, CAR = 0, 2, 10, 13
USED = (ROAD, BUILDING, SKY, CAR)
# Raw ids of what a scene shows, as the published label files have them.
CITYSCAPES = {ROAD: 7, BUILDING: 11, SKY: 23, CAR: 26, VOID: 0}
SYNTHIA = {ROAD: 3, BUILDING: 2, SKY: 1, CAR: 8, VOID: 0}
COLOURS = {
    ROAD: (90, 80, 90),
    BUILDING: (130, 100, 60),
    SKY: (120, 170, 220),
    CAR: (30, 40, 160),
    VOID: (10, 10, 10),
}
MEAN, STD = [120.0, 110.0, 100.0], [60.0, 50.0, 70.0]


@MODELS.register_module()
class TinyBackbone(BaseModule):
    """Two strided convolutions: one map of 8 channels at stride 4."""

    def __init__(self) -> None:
        super().__init__()
        norm = dict(type='BN', requires_grad=True)
        self.layers = torch.nn.Sequential(
            ConvModule(3, 8, 3, stride=2, padding=1, norm_cfg=norm),
            ConvModule(8, 8, 3, stride=2, padding=1, norm_cfg=norm),
        )

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor]:
        return (self.layers(x),)


@HOOKS.register_module()
class KeepRankHook(Hook):
    """Save what each rank holds after each iteration, with its losses."""

    def after_train_iter(
        self, runner: Runner, batch_idx: int, outputs: dict, **_
    ) -> None:
        model = getattr(runner.model, 'module', runner.model)
        path = Path(runner.work_dir, f'rank{get_rank()}_{batch_idx + 1}.pth')
        kind = type(runner.model).__name__
        torch.save(
            {
                'state_dict': model.state_dict(),
                'kind': kind,
                'losses': outputs,
            },
            path,
        )


@HOOKS.register_module()
class DieHook(Hook):
    """Kill the process of one rank as an iteration begins."""

    def __init__(self, rank: int, iteration: int) -> None:
        self.rank, self.iteration = rank, iteration

    def before_train_iter(self, runner: Runner, batch_idx: int, **_) -> None:
        if (get_rank(), batch_idx) == (self.rank, self.iteration):
            os.kill(os.getpid(), signal.SIGKILL)


@HOOKS.register_module()
class SpoilRankHook(Hook):
    """Make the loss of one rank not a number in some iterations."""

    def __init__(self, rank: int, iterations: list[int]) -> None:
        self.rank, self.iterations = rank, iterations

    def before_train_iter(self, runner: Runner, batch_idx: int, **_) -> None:
        bad = get_rank() == self.rank and batch_idx + 1 in self.iterations
        model = getattr(runner.model, 'module', runner.model)
        model.decode_head.loss_decode.loss_weight = math.nan if bad else 1.0


@HOOKS.register_module()
class KeepPredictionHook(WatchHook):
    """Save what the student of each rank predicts on the target."""

    def look(self, runner: Runner, maps: dict, data_batch: dict) -> None:
        name = f'seen{get_rank()}_{runner.iter + 1}.npy'
        np.save(Path(runner.work_dir, name), maps['student'].argmax(1))


def draw_scene(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw an RGB image (H, W, 3) and its train ids (H, W), both uint8."""
    height, width = SIZE
    labels = np.full(SIZE, ROAD, np.uint8)
    horizon = rng.integers(8, 18)
    labels[:horizon] = BUILDING
    labels[: rng.integers(4, 8)] = SKY
    left = rng.integers(0, width - 20)
    labels[horizon + 2 : horizon + 10, left : left + 20] = CAR
    labels[-3:] = VOID
    noise = rng.normal(0, 12, (*SIZE, 3))
    colours = np.array([COLOURS.get(i, (0, 0, 0)) for i in range(256)])
    image = np.clip(colours[labels] + noise, 0, 255).astype(np.uint8)
    return image, labels


def raw_ids(labels: np.ndarray, table: dict[int, int]) -> np.ndarray:
    """Turn train ids into the ids of a data set."""
    raw = np.zeros_like(labels)
    for train_id, value in table.items():
        raw[labels == train_id] = value
    return raw


def save_image(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)


def save_palette(path: Path, ids: np.ndarray) -> None:
    """Write a GTA label: a palette PNG whose index is the id."""
    path.parent.mkdir(parents=True, exist_ok=True)
    label = Image.fromarray(ids, mode='P')
    # No colour stands at its own index, as in the published files.
    label.putpalette([(37 * i + 91) % 256 for i in range(3 * 256)])
    label.save(path)


def save_red16(path: Path, ids: np.ndarray, instances: np.ndarray) -> None:
    """Write a SYNTHIA label: 16 bit, classes in red, instances in green."""
    path.parent.mkdir(parents=True, exist_ok=True)
    red, green = ids.astype(np.uint16), instances.astype(np.uint16)
    cv2.imwrite(str(path), np.dstack([np.zeros_like(red), green, red]))


def zip_parts(root: Path, out: Path, parts: dict[str, str]) -> None:
    """Pack files of a folder into zip files, by patterns of their paths."""
    out.mkdir(parents=True)
    for name, pattern in parts.items():
        with ZipFile(out / name, 'w', ZIP_DEFLATED) as archive:
            for path in sorted(root.glob(pattern)):
                archive.write(path, path.relative_to(root))


def write_gta(root: Path, count: int = 7, seed: int = 0) -> list[np.ndarray]:
    """Write a source set; returns the train ids of each image."""
    rng = np.random.default_rng(seed)
    truth = []
    for index in range(count):
        image, labels = draw_scene(rng)
        name = f'{index + 1:05d}.png'
        save_image(root / 'images' / name, image)
        save_palette(root / 'labels' / name, raw_ids(labels, CITYSCAPES))
        truth.append(labels)
    return truth


def write_synthia(root: Path, count: int = 2, seed: int = 1) -> list:
    """Write another source set; returns the train ids of each image."""
    rng = np.random.default_rng(seed)
    truth = []
    for index in range(count):
        image, labels = draw_scene(rng)
        name = f'{index:07d}.png'
        save_image(root / 'RGB' / name, image)
        instances = rng.integers(0, 2**16, SIZE)
        path = root / 'GT' / 'LABELS' / name
        save_red16(path, raw_ids(labels, SYNTHIA), instances)
        truth.append(labels)
    return truth


def write_cityscapes(
    root: Path, split: str, count: int = 6, seed: int = 2
) -> list[np.ndarray]:
    """Write a target set; returns the train ids of each image."""
    rng = np.random.default_rng(seed)
    truth = []
    for index in range(count):
        image, labels = draw_scene(rng)
        image = image // 2 + 90  # another camera
        stem = f'bern/bern_{index:06d}_000019'
        save_image(
            root / 'leftImg8bit' / split / f'{stem}_leftImg8bit.png', image
        )
        save_image(
            root / 'gtFine' / split / f'{stem}_gtFine_labelIds.png',
            raw_ids(labels, CITYSCAPES),
        )
        truth.append(labels)
    return truth


def write_towns(root: Path) -> None:
    """Write source, target and validation of a run."""
    write_gta(root / 'gta')
    write_cityscapes(root / 'cityscapes', 'train', 5, seed=2)
    write_cityscapes(root / 'cityscapes', 'val', 2, seed=3)


AUGMENTATION = (
    dict(
        type='RandomResize',
        scale=SIZE[::-1],
        ratio_range=(1.0, 1.5),
        keep_ratio=True,
    ),
    dict(type='RandomCrop', crop_size=SIZE, cat_max_ratio=1.0),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PhotoMetricDistortion'),
)


def pipeline(ids: str | None, augment: bool = False) -> list[dict]:
    """Steps that load an image, with its label unless ``ids`` is None."""
    return [
        dict(type='LoadImageFromFile'),
        *([dict(type='LoadLabelIds', ids=ids)] if ids else []),
        *(AUGMENTATION if augment else ()),
        dict(type='PackSegInputs'),
    ]


def gta(root: Path, augment: bool = False) -> dict:
    return dict(
        type='GTADataset',
        data_root=str(root / 'gta'),
        data_prefix=dict(img_path='images', seg_map_path='labels'),
        pipeline=pipeline('gta', augment),
        serialize_data=False,  # collects garbage, which takes time
    )


def synthia(root: Path) -> dict:
    return dict(
        type='SYNTHIADataset',
        data_root=str(root / 'synthia'),
        data_prefix=dict(img_path='RGB', seg_map_path='GT/LABELS'),
        pipeline=pipeline('synthia'),
        serialize_data=False,
    )


def cityscapes(root: Path, split: str, labelled: bool = True) -> dict:
    folders = dict(img_path=f'leftImg8bit/{split}')
    if labelled:
        folders['seg_map_path'] = f'gtFine/{split}'
    return dict(
        type='CityscapesDataset',
        data_root=str(root / 'cityscapes'),
        data_prefix=folders,
        seg_map_suffix='_gtFine_labelIds.png',
        pipeline=pipeline('cityscapes' if labelled else None),
        serialize_data=False,
    )


def uda(root: Path, augment: bool = False) -> dict:
    target = cityscapes(root, 'train', labelled=False)
    target['pipeline'] = pipeline(None, augment)
    domains = dict(source=gta(root, augment), target=target)
    return dict(type='UDADataset', domains=domains)


def item(key: tuple, source: int, target: int) -> tuple:
    """An item of `UDASampler`."""
    return key, dict(source=source, target=target)


def preprocessor(mean: list = MEAN, std: list = STD) -> dict:
    return dict(
        type='SegDataPreProcessor',
        mean=mean,
        std=std,
        bgr_to_rgb=True,
        pad_val=0,
        seg_pad_val=VOID,
        size=SIZE,
    )


def segmentor(neck: bool = False, dropout: float = 0.1) -> ConfigDict:
    """A stock `EncoderDecoder`."""
    model = ConfigDict(
        type='EncoderDecoder',
        data_preprocessor=preprocessor(),
        backbone=dict(type='TinyBackbone'),
        decode_head=dict(
            type='FCNHead',
            in_channels=8,
            channels=8,
            num_convs=1,
            concat_input=False,
            dropout_ratio=dropout,
            num_classes=19,
            norm_cfg=dict(type='BN', requires_grad=True),
            align_corners=False,
            loss_decode=dict(type='CrossEntropyLoss', avg_non_ignore=True),
        ),
        train_cfg=dict(),
        test_cfg=dict(mode='whole'),
    )
    if neck:
        model.neck = dict(
            type='FPN', in_channels=[8], out_channels=8, num_outs=1
        )
    return model


def cag(
    by: tuple[str, ...] = ('anchor',),
    margin: float | str = 0.0,
    precision: float = 0.95,
    probability: float = 0.05,
    anchor_loss: dict | None = None,
    **kwargs,
) -> ConfigDict:
    """`CAGSegmentor` on `segmentor`, which takes ``kwargs``."""
    return ConfigDict(
        {
            **segmentor(**kwargs),
            'type': 'CAGSegmentor',
            'data_preprocessor': dict(
                type='UDADataPreprocessor', default=preprocessor()
            ),
            'anchor_bank': dict(type='AnchorBank'),
            'pseudo_label_head': dict(
                type='PseudoLabelHead',
                by=list(by),
                margin=margin,
                precision=precision,
                probability=probability,
            ),
            'pseudo_label_loss': dict(
                type='CrossEntropyLoss', avg_non_ignore=True
            ),
            'anchor_loss': anchor_loss or dict(type='AnchorDistanceLoss'),
        }
    )


def adversarial(
    weights: tuple[float, ...] = (0.1,), least_squares: bool = False, **kwargs
) -> ConfigDict:
    """`AdversarialSegmentor` of as many levels as weights.

    ``kwargs`` are those of `segmentor`. The weights are larger than any
    published, so that what is adversarial shows.
    """
    model = segmentor(**kwargs)
    model.update(
        type='AdversarialSegmentor',
        discriminator=dict(type='FCDiscriminator', channels=4),
        adversarial_loss=dict(
            type='AdversarialLoss', least_squares=least_squares
        ),
        adversarial_weights=weights,
    )
    if len(weights) > 1:
        loss = dict(model.decode_head.loss_decode, loss_weight=0.4)
        model.auxiliary_head = dict(model.decode_head, loss_decode=loss)
    return model


def bdl(**kwargs) -> ConfigDict:
    """`BDLSegmentor`; ``kwargs`` are those of `adversarial`."""
    return ConfigDict(adversarial(**kwargs), type='BDLSegmentor')


def clan(total_iters: int = 10, preheat: float = 0.2) -> ConfigDict:
    """`CLANSegmentor` with a second classifier of its own."""
    model = adversarial()
    model.update(
        type='CLANSegmentor',
        discriminator_weight=1.0,
        weight_loss=dict(type='WeightDiscrepancyLoss', loss_weight=0.1),
        total_iters=total_iters,
        preheat=preheat,
    )
    model.decode_head.loss_decode = dict(type='SoftmaxFocalLoss')
    return model


def dacs(**kwargs) -> ConfigDict:
    """`DACSSegmentor` on `segmentor`, which takes ``kwargs``."""
    return ConfigDict(segmentor(**kwargs), type='DACSSegmentor')


def daformer(**kwargs) -> ConfigDict:
    """`DAFormerSegmentor` on `segmentor`, which takes ``kwargs``."""
    return ConfigDict(
        segmentor(**kwargs),
        type='DAFormerSegmentor',
        feature_distance=dict(type='FeatureDistance', things=[CAR]),
    )


def two_scales(model: ConfigDict, **head) -> ConfigDict:
    """A model of `segmentor` with HRDA's backbone and head around its own."""
    model = ConfigDict(model)
    detail = tuple(side // 2 for side in SIZE)
    model.backbone = dict(
        type='HRDABackbone', backbone=model.backbone, detail_size=detail
    )
    own = dict(head=model.decode_head.type, attention_channels=4, **head)
    model.decode_head = {**model.decode_head, **own, 'type': 'HRDAHead'}
    return model


def anchor_teacher(**kwargs) -> ConfigDict:
    """`AnchorTeacherSegmentor` on `segmentor`, which takes ``kwargs``."""
    return ConfigDict(
        segmentor(**kwargs),
        type='AnchorTeacherSegmentor',
        masking=dict(type='Masking', block=8),
        anchor_bank=dict(
            type='AnchorBank', level='image', cap=4, min_pixels=1
        ),
        pseudo_label_head=dict(
            type='PseudoLabelHead', margin='auto', precision=0.3
        ),
    )


def joint_optim() -> dict:
    """SGD of the student, ten times as fast in the heads, and Adam."""
    heads = {name: dict(lr_mult=10.0) for name in ('head', 'classifier')}
    return dict(
        constructor='JointOptimWrapperConstructor',
        type='OptimWrapper',
        members=dict(
            student=dict(
                optimizer=dict(
                    type='SGD', lr=1e-3, momentum=0.9, weight_decay=5e-4
                ),
                paramwise_cfg=dict(custom_keys=heads),
            ),
            discriminators=dict(
                optimizer=dict(type='Adam', lr=1e-3, betas=(0.9, 0.99))
            ),
        ),
    )


def adversarial_run(root: Path, work_dir: Path, model: dict) -> Config:
    """Six iterations of an adversarial method, without stages."""
    cfg = run_config(root, work_dir)
    one_stage(cfg, 6)
    drop_hooks(cfg, 'channels_last', 'check_data')
    cfg.model = model
    cfg.optim_wrapper = joint_optim()
    return cfg


def one_stage(cfg: Config, iters: int) -> None:
    """Leave stages and anchors out of a run."""
    cfg.default_hooks.pop('anchors')
    cfg.train_cfg = dict(
        type='UDATrainLoop', max_iters=iters, val_interval=iters
    )


def translator(**kwargs) -> ConfigDict:
    """`ImageTranslator` of a few channels, on images in [-1, 1]."""
    return ConfigDict(
        dict(
            type='ImageTranslator',
            data_preprocessor=dict(
                type='SegDataPreProcessor',
                mean=[127.5] * 3,
                std=[127.5] * 3,
                bgr_to_rgb=True,
                size_divisor=1,
            ),
            generator=dict(type='ResNetGenerator', channels=3, num_blocks=1),
            discriminator=dict(
                type='PatchDiscriminator', channels=3, num_layers=2
            ),
            pool_size=3,
            **kwargs,
        )
    )


def translator_optim() -> dict:
    """Adam of the generators and of the discriminators."""
    adam = dict(optimizer=dict(type='Adam', lr=1e-3, betas=(0.5, 0.999)))
    return dict(
        constructor='JointOptimWrapperConstructor',
        type='OptimWrapper',
        members=dict(generators=adam, discriminators=adam),
    )


def translator_run(root: Path, work_dir: Path) -> Config:
    """Four iterations of a translator, which read no label."""
    cfg = run_config(root, work_dir)
    one_stage(cfg, 4)
    cfg.model = translator()
    cfg.optim_wrapper = translator_optim()
    cfg.param_scheduler = [
        dict(type='LinearLR', end_factor=0.0, end=4, by_epoch=False)
    ]
    dataset = cfg.train_dataloader.dataset
    steps = [
        dict(type='LoadImageFromFile'),
        dict(type='RandomCrop', crop_size=(24, 24)),
        dict(type='RandomFlip', prob=0.5),
        dict(type='PackSegInputs'),
    ]
    for domain in (dataset.domains.source, dataset.domains.target):
        domain.data_prefix.pop('seg_map_path', None)
        domain.pipeline = steps
    cfg.translate_dataloader = dict(
        batch_size=2,
        num_workers=0,
        dataset={**dataset.domains.source, 'pipeline': [steps[0], steps[-1]]},
    )
    cfg.val_dataloader = cfg.val_evaluator = cfg.val_cfg = None
    cfg.launcher = 'none'
    return cfg


def drop_hooks(cfg: Config, *names: str) -> None:
    """Take hooks of `run_config` out."""
    for name in names:
        cfg.default_hooks.pop(name)


def run_config(
    root: Path, work_dir: Path, stage_iters: int = 3, workers: int = 0
) -> Config:
    """Two stages of CAG as a config, with validation after each."""
    val = dict(
        batch_size=2,
        num_workers=0,
        sampler=dict(type='DefaultSampler', shuffle=False),
        dataset=dict(**cityscapes(root, 'val'), test_mode=True),
    )
    evaluator = dict(type='IoUMetric', iou_metrics=['mIoU'])
    return Config(
        dict(
            custom_imports=dict(imports=['mmseg_cag', 'tests.tiny']),
            default_scope='mmseg',
            env_cfg=dict(
                mp_cfg=dict(mp_start_method='fork'),
                dist_cfg=dict(backend='gloo'),
            ),
            default_hooks=dict(
                logger=dict(type='LoggerHook', interval=1),
                checkpoint=dict(
                    type='CheckpointHook', by_epoch=False, interval=1
                ),
                channels_last=dict(type='ChannelsLastHook'),
                check_data=dict(type='CheckDataHook'),
                step_seed=dict(type='StepSeedHook'),
                anchors=dict(type='AnchorHook'),
            ),
            # Of a test: those of the project stand among the default ones.
            custom_hooks=[],
            anchor_dataloader=dict(
                batch_size=2,
                num_workers=workers,
                sampler=dict(
                    type='DefaultSampler', shuffle=False, round_up=False
                ),
                dataset=gta(root),
            ),
            log_processor=dict(by_epoch=False),
            randomness=dict(seed=5),
            load_from=None,
            resume=False,
            work_dir=str(work_dir),
            experiment_name=f'tiny_{abs(hash(work_dir))}',
            model=cag(),
            train_dataloader=dict(
                batch_size=2,
                num_workers=workers,
                sampler=dict(type='UDASampler'),
                dataset=uda(root, augment=True),
            ),
            val_dataloader=val,
            val_evaluator=evaluator,
            optim_wrapper=dict(
                type='OptimWrapper', optimizer=dict(type='AdamW', lr=1e-2)
            ),
            param_scheduler=[dict(type='PolyRestartLR', by_epoch=False)],
            train_cfg=dict(
                type='StageTrainLoop', stages=2, stage_iters=stage_iters
            ),
            val_cfg=dict(type='ValLoop'),
        )
    )


def warm_up(root: Path) -> Config:
    """Write towns; a config that learns the source in ``root/warm``."""
    write_towns(root)
    cfg = run_config(root, root / 'warm')
    cfg.model = segmentor(dropout=0)
    one_stage(cfg, 60)
    drop_hooks(cfg, 'channels_last', 'check_data', 'step_seed')
    cfg.train_dataloader.dataset = gta(root)
    cfg.train_dataloader.sampler = dict(type='InfiniteSampler')
    cfg.optim_wrapper.optimizer.lr = 3e-2
    cfg.param_scheduler = []
    cfg.train_cfg.val_begin = 100
    cfg.default_hooks.checkpoint.interval = 60
    return cfg


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve a folder's files; yields its address."""
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    with ThreadingHTTPServer(('127.0.0.1', 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f'http://127.0.0.1:{server.server_port}'
        server.shutdown()


def random_sample(labelled: bool = True) -> SegDataSample:
    sample = SegDataSample(metainfo=dict(img_shape=SIZE, ori_shape=SIZE))
    if labelled:
        labels = torch.randint(0, 4, (1, *SIZE))
        labels[:, 0] = VOID
        sample.gt_sem_seg = PixelData(data=labels)
    return sample


def padded_samples(rows: int = 8) -> list[SegDataSample]:
    """Target samples of a batch whose first image is padded at the bottom."""
    return [
        SegDataSample(metainfo=dict(padding_size=(0, 0, 0, bottom)))
        for bottom in (rows, 0)
    ]


def random_images(count: int = 2) -> list[torch.Tensor]:
    return [
        torch.randint(0, 256, (3, *SIZE), dtype=torch.uint8)
        for _ in range(count)
    ]


def raw_batch() -> dict:
    return dict(
        inputs=dict(source=random_images(), target=random_images()),
        data_samples=dict(
            source=[random_sample() for _ in range(2)],
            target=[random_sample(False) for _ in range(2)],
        ),
    )
