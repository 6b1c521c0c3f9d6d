# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from .anchor_hook import AnchorHook
from .channels_last_hook import ChannelsLastHook
from .check_checkpoint_hook import CheckCheckpointHook
from .check_data_hook import CheckDataHook
from .cpu_distributed import CPUDistributedDataParallel
from .labeler_hook import LabelerHook
from .non_finite_hook import NonFiniteHook
from .recipe_hook import RecipeHook
from .stage_hook import StageHook
from .stagewise_poly import StagewisePolyLR
from .step_seed_hook import StepSeedHook

__all__ = [
    'AnchorHook',
    'CPUDistributedDataParallel',
    'ChannelsLastHook',
    'CheckCheckpointHook',
    'CheckDataHook',
    'LabelerHook',
    'NonFiniteHook',
    'RecipeHook',
    'StageHook',
    'StagewisePolyLR',
    'StepSeedHook',
]
