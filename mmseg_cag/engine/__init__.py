# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from .anchor_hook import AnchorHook
from .atomic_checkpoint_hook import AtomicCheckpointHook
from .bfloat16_optim_wrapper import BFloat16OptimWrapper
from .channels_last_hook import ChannelsLastHook
from .check_checkpoint_hook import CheckCheckpointHook
from .check_data_hook import CheckDataHook
from .checkpoint_loaders import register_safe_loaders
from .compile_hook import CompileHook
from .cpu_distributed import CPUDistributedDataParallel
from .data_fingerprint_hook import DataFingerprintHook
from .discriminator_hook import DiscriminatorHook
from .effective_batch_hook import EffectiveBatchHook
from .joint_optim_constructor import JointOptimWrapperConstructor
from .joint_optim_wrapper import JointOptimWrapper
from .keep_memory_hook import KeepMemoryHook
from .label_map_hook import LabelMapHook
from .labeler_hook import LabelerHook
from .last_and_best_hook import LastAndBestHook
from .lenient_vis_backend import LenientVisBackend
from .loss_log_hook import LossLogHook
from .missed_validation_hook import MissedValidationHook
from .non_finite_hook import NonFiniteHook
from .rank_data_hook import RankDataHook
from .recipe_hook import RecipeHook
from .repeated_sgd import RepeatedSGD
from .skipped_files_hook import SkippedFilesHook
from .stage_hook import StageHook
from .stagewise_poly import StagewisePolyLR
from .step_seed_hook import StepSeedHook
from .stop_hook import StopHook
from .translation_panel_hook import TranslationPanelHook

register_safe_loaders()

__all__ = [
    'AnchorHook',
    'AtomicCheckpointHook',
    'BFloat16OptimWrapper',
    'CPUDistributedDataParallel',
    'ChannelsLastHook',
    'CheckCheckpointHook',
    'CheckDataHook',
    'CompileHook',
    'DataFingerprintHook',
    'DiscriminatorHook',
    'EffectiveBatchHook',
    'JointOptimWrapper',
    'JointOptimWrapperConstructor',
    'KeepMemoryHook',
    'LabelMapHook',
    'LabelerHook',
    'LastAndBestHook',
    'LenientVisBackend',
    'LossLogHook',
    'MissedValidationHook',
    'NonFiniteHook',
    'RankDataHook',
    'RecipeHook',
    'RepeatedSGD',
    'SkippedFilesHook',
    'StageHook',
    'StagewisePolyLR',
    'StepSeedHook',
    'StopHook',
    'TranslationPanelHook',
]
