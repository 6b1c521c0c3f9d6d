# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from mmseg_cag.engine.runtime.step_hooks import ChannelsLastHook, StepSeedHook
from mmseg_cag.fileio.safe_load import register_safe_loaders

from .checks.check_checkpoint_hook import CheckCheckpointHook
from .checks.check_data_hook import CheckDataHook
from .checks.check_rank_data_hook import CheckRankDataHook
from .checks.data_fingerprint_hook import DataFingerprintHook
from .checks.effective_batch_hook import EffectiveBatchHook
from .checks.log_label_map_hook import LogLabelMapHook
from .foreign_anchors import ForeignAnchorHook
from .loops import UDATrainLoop
from .optim.bfloat16_optim_wrapper import BFloat16OptimWrapper
from .optim.joint_optim_constructor import JointOptimWrapperConstructor
from .optim.joint_optim_wrapper import JointOptimWrapper
from .optim.layer_decay import EncoderOptimWrapperConstructor
from .optim.merged_groups import MergedOptimWrapperConstructor
from .optim.poly_restart import PolyRestartLR
from .optim.repeated_sgd import RepeatedSGD
from .records.atomic_checkpoint_hook import AtomicCheckpointHook
from .records.do_no_harm_hook import DoNoHarmHook
from .records.loss_log_hook import LossLogHook
from .records.provenance_hook import ProvenanceHook
from .records.result_summary_hook import ResultSummaryHook
from .records.skipped_files_hook import SkippedFilesHook
from .records.teacher_validation_hook import TeacherValidationHook
from .resilience.non_finite_hook import NonFiniteHook
from .resilience.stop_hook import StopHook
from .runtime.compile_hook import CompileHook
from .runtime.cpu_distributed import CPUDistributedDataParallel
from .runtime.malloc_hook import MallocHook
from .runtime.norm_statistics import NormStatisticsHook
from .stages import AnchorHook, PrototypeHook, StageTrainLoop

register_safe_loaders()

__all__ = [
    'AnchorHook',
    'AtomicCheckpointHook',
    'BFloat16OptimWrapper',
    'CPUDistributedDataParallel',
    'ChannelsLastHook',
    'CheckCheckpointHook',
    'CheckDataHook',
    'CheckRankDataHook',
    'CompileHook',
    'DataFingerprintHook',
    'DoNoHarmHook',
    'EffectiveBatchHook',
    'EncoderOptimWrapperConstructor',
    'ForeignAnchorHook',
    'JointOptimWrapper',
    'JointOptimWrapperConstructor',
    'LogLabelMapHook',
    'LossLogHook',
    'MallocHook',
    'MergedOptimWrapperConstructor',
    'NonFiniteHook',
    'NormStatisticsHook',
    'PolyRestartLR',
    'PrototypeHook',
    'ProvenanceHook',
    'RepeatedSGD',
    'ResultSummaryHook',
    'SkippedFilesHook',
    'StageTrainLoop',
    'StepSeedHook',
    'StopHook',
    'TeacherValidationHook',
    'UDATrainLoop',
]
