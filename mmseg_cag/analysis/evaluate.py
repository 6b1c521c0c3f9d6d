# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from pathlib import Path

from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.runner import Runner
from torch import Tensor


def build_runner(cfg: Config, checkpoint: Path, folder: Path) -> Runner:
    """Build a runner that tests a checkpoint.

    Args:
        cfg: The config that the checkpoint was trained by.
        checkpoint: Its weights.
        folder: Where the log goes.
    """
    cfg = cfg.copy()
    cfg.work_dir = str(folder)
    cfg.load_from = str(checkpoint)
    cfg.resume = False
    # Its own: mmengine keeps one visualizer for each name, and its folder.
    cfg.experiment_name = '_'.join([folder.name, *checkpoint.parts[-3:]])
    cfg.launcher = 'none'
    # Workers take longer to stop than these few images take to read.
    cfg.test_dataloader.update(num_workers=0, persistent_workers=False)
    # Its result is what matters; the training has told the rest.
    cfg.log_level = 'WARNING'
    return Runner.from_cfg(cfg)


def evaluate(cfg: Config, checkpoint: Path, folder: Path) -> float:
    """Compute a checkpoint's mIoU in percent over the config's test set."""
    metrics = build_runner(cfg, checkpoint, folder).test()
    value = round(float(metrics['mIoU']), 2)
    print_log(
        f'{checkpoint.parent.name}/{checkpoint.name}: mIoU {value:.1f} %'
    )
    return value


def predict(runner: Runner, indices: list[int]) -> list[Tensor]:
    """Predict samples of the test set.

    Args:
        runner: As `build_runner` makes it.
        indices: Which samples.

    Returns:
        A class map (H, W) int64 for each.
    """
    runner.load_or_resume()
    runner.model.eval()
    dataset = runner.test_dataloader.dataset
    maps = []
    for index in indices:
        sample = dataset[index]
        batch = {key: [value] for key, value in sample.items()}
        [result] = runner.model.test_step(batch)
        maps.append(result.pred_sem_seg.data.squeeze(0).cpu())
    return maps
