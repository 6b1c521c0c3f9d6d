# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# What every run shares. The plugin registers itself here and nowhere else.
custom_imports = dict(imports=['mmseg_cag'], allow_failed_imports=False)
default_scope = 'mmseg'
env_cfg = dict(
    cudnn_benchmark=True,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    # Seconds after which a rank that waits for a dead one gives up.
    dist_cfg=dict(backend='nccl', timeout=1800),
)
# Each is set by its name: --cfg-options default_hooks.non_finite.on_nan=skip
default_hooks = dict(
    runtime_info=dict(type='LossLogHook'),
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=50, log_metric_by_epoch=False),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(
        type='AtomicCheckpointHook',
        by_epoch=False,
        interval=1000,
        max_keep_ckpts=3,
        save_best='mIoU',
    ),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    visualization=dict(type='SegVisualizationHook'),
    # How adaptation goes on the target: docs/monitor.md.
    monitor=dict(type='MonitorHook', interval=100),
    panels=dict(type='PanelHook', interval=5000),
    anchor_record=dict(type='AnchorRecordHook'),
    # How a run is spread over processes: docs/distributed.md.
    effective_batch=dict(type='EffectiveBatchHook'),
    rank_data=dict(type='CheckRankDataHook'),
    channels_last=dict(type='ChannelsLastHook'),
    check_checkpoint=dict(type='CheckCheckpointHook'),
    check_data=dict(type='CheckDataHook'),
    data_fingerprint=dict(type='DataFingerprintHook'),
    malloc=dict(type='MallocHook'),
    label_map=dict(type='LogLabelMapHook'),
    results=dict(type='ResultSummaryHook'),
    # What a run does about losses and files that are bad: docs/reliability.md.
    non_finite=dict(type='NonFiniteHook'),
    provenance=dict(type='ProvenanceHook'),
    skipped_files=dict(type='SkippedFilesHook'),
    step_seed=dict(type='StepSeedHook'),
    stop=dict(type='StopHook'),
    # Against the network that it began from: docs/do_no_harm.md.
    do_no_harm=dict(type='DoNoHarmHook'),
)
vis_backends = [
    dict(type='BestEffortVisBackend'),
    dict(type='OptionalTensorboardVisBackend'),
]
visualizer = dict(type='SegLocalVisualizer', vis_backends=vis_backends)
log_processor = dict(by_epoch=False)
log_level = 'INFO'
randomness = dict(seed=0)
# The config of a run that is trained first, for the weights of its end, and
# settings in which it differs; a checkpoint as load_from is taken instead.
start_from = None
start_options = dict()
load_from = None
# Of your own data and weights, by folder or file: docs/licences.md.
licences = dict()
resume = False
