# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Which files one step of CAG needs: ``python one_step.py CHECKOUT``.

Prints as JSON the config files that are read, and the files of the package
of which a function is entered between `Runner.train` and the first backward
pass. No worker, no launcher, no warm-up, and no hook that only observes. It
knows the layouts of version 0.1 and of today.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import Any

import cv2
import numpy as np
import torch
from mmengine.config import Config
from mmengine.runner import Runner

CONFIG = 'configs/cag/deeplabv2_gta2cs.py'
# Hooks that leave weights as they are, in the words of both versions.
OBSERVERS = {
    'AnchorRecordHook',
    'AtomicCheckpointHook',
    'CheckCheckpointHook',
    'CheckDataHook',
    'CheckRankDataHook',
    'DataFingerprintHook',
    'DoNoHarmHook',
    'EffectiveBatchHook',
    'MallocHook',
    'LogLabelMapHook',
    'ResultSummaryHook',
    'LossLogHook',
    'MissedValidationHook',
    'MonitorHook',
    'NonFiniteHook',
    'PanelHook',
    'ProvenanceHook',
    'SegVisualizationHook',
    'SkippedFilesHook',
    'StopHook',
}
# What only tells of a run: its monitor and the progress on a terminal.
OBSERVING = ('mmseg_cag/monitor/', 'mmseg_cag/progress.py')
SIZE = (64, 128)


class FirstBackwardPass(Exception):
    """The end of what is counted."""


def write_data(root: Path) -> None:
    """Write two images of each domain, as GTA5 and Cityscapes lie."""
    rng = np.random.default_rng(0)
    for name in ('0', '1'):
        for path, shape, high in (
            (f'gta/images/{name}.png', (*SIZE, 3), 256),
            (f'gta/labels/{name}.png', SIZE, 34),
            (
                f'cityscapes/leftImg8bit/train/a/{name}_leftImg8bit.png',
                (*SIZE, 3),
                256,
            ),
        ):
            file = root / path
            file.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(file), rng.integers(high, size=shape, dtype='u1'))


def read_config(repo: Path) -> tuple[Config, list[str]]:
    """Read the config, and list the files that it consists of."""
    files: list[str] = []
    read = Config._file2dict

    def note(filename: str, *args: Any, **kwargs: Any) -> Any:
        files.append(Path(filename).resolve().relative_to(repo).as_posix())
        return read(filename, *args, **kwargs)

    Config._file2dict = staticmethod(note)
    cfg = Config.fromfile(repo / CONFIG)
    Config._file2dict = staticmethod(read)
    return cfg, sorted(set(files))


def shrink(node: Any) -> None:
    """Make images, batches and loaders small, within a config."""
    if isinstance(node, list | tuple):
        for child in node:
            shrink(child)
    if not isinstance(node, dict):
        return
    if 'num_workers' in node:
        node.update(num_workers=0, batch_size=1)
        node.pop('persistent_workers', None)
    if node.get('type') == 'RandomResizeCrop':
        node.update(scale=SIZE[::-1], crop_size=SIZE)
        if 'frame_size' in node:
            node.update(frame_size=SIZE[::-1])
    elif node.get('type') == 'Resize':  # of the anchors' images
        node.update(scale=SIZE[::-1])
    for child in node.values():
        shrink(child)


def drop_observers(cfg: Config) -> None:
    """Leave only the hooks by which weights come out as they do."""
    for name, hook in list(cfg.default_hooks.items()):
        if hook and hook['type'] in OBSERVERS:
            cfg.default_hooks.pop(name)
    # mmengine has these without being asked.
    cfg.default_hooks.update(logger=None, checkpoint=None)
    cfg.default_hooks.setdefault('runtime_info', None)
    cfg.custom_hooks = [
        hook
        for hook in cfg.get('custom_hooks', [])
        if hook['type'] not in OBSERVERS
    ]


def entered(repo: Path, runner: Runner) -> list[str]:
    """Train until the first backward pass; list the files entered."""
    files: set[str] = set()
    package = str(repo / 'mmseg_cag')

    def note(frame: FrameType, event: str, _: Any) -> None:
        code = frame.f_code
        # What runs as a module is imported is no function.
        if event == 'call' and code.co_name != '<module>':
            if code.co_filename.startswith(package):
                files.add(code.co_filename)

    def stop(*args: Any, **kwargs: Any) -> None:
        sys.setprofile(None)
        raise FirstBackwardPass

    torch.Tensor.backward = stop
    sys.setprofile(note)
    try:
        runner.train()
    except FirstBackwardPass:
        pass
    names = (Path(file).relative_to(repo).as_posix() for file in files)
    return sorted(n for n in names if not n.startswith(OBSERVING))


def main() -> None:
    """Count in the checkout that the command line names."""
    repo = Path(sys.argv[1]).resolve()
    with TemporaryDirectory() as folder:
        root = Path(folder)
        write_data(root)
        os.environ['GTA_ROOT'] = str(root / 'gta')
        os.environ['CITYSCAPES_ROOT'] = str(root / 'cityscapes')
        cfg, configs = read_config(repo)
        shrink(cfg._cfg_dict)
        drop_observers(cfg)
        cfg.update(
            work_dir=str(root / 'work'),
            start_from=None,
            val_dataloader=None,
            val_evaluator=None,
            val_cfg=None,
            log_level='ERROR',
            vis_backends=[],
        )
        files = entered(repo, Runner.from_cfg(cfg))
    print(json.dumps({'configs': configs, 'package': files}))


if __name__ == '__main__':
    main()
