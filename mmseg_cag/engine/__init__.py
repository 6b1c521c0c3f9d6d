# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from .anchor_hook import AnchorHook
from .channels_last_hook import ChannelsLastHook
from .check_checkpoint_hook import CheckCheckpointHook
from .check_data_hook import CheckDataHook
from .checkpoint_loaders import register_safe_loaders
from .cpu_distributed import CPUDistributedDataParallel
from .discriminator_hook import DiscriminatorHook
from .joint_optim_constructor import JointOptimWrapperConstructor
from .joint_optim_wrapper import JointOptimWrapper
from .label_map_hook import LabelMapHook
from .labeler_hook import LabelerHook
from .last_and_best_hook import LastAndBestHook
from .non_finite_hook import NonFiniteHook
from .recipe_hook import RecipeHook
from .repeated_sgd import RepeatedSGD
from .skipped_files_hook import SkippedFilesHook
from .stage_hook import StageHook
from .stagewise_poly import StagewisePolyLR
from .step_seed_hook import StepSeedHook
from .translation_panel_hook import TranslationPanelHook

register_safe_loaders()

__all__ = [
    'AnchorHook',
    'CPUDistributedDataParallel',
    'ChannelsLastHook',
    'CheckCheckpointHook',
    'CheckDataHook',
    'DiscriminatorHook',
    'JointOptimWrapper',
    'JointOptimWrapperConstructor',
    'LabelMapHook',
    'LabelerHook',
    'LastAndBestHook',
    'NonFiniteHook',
    'RecipeHook',
    'SkippedFilesHook',
    'RepeatedSGD',
    'StageHook',
    'StagewisePolyLR',
    'StepSeedHook',
    'TranslationPanelHook',
]
