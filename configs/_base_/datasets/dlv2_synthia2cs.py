# SYNTHIA -> Cityscapes at the sizes of the DeepLab-V2 family.
_base_ = ['./synthia2cs.py', './dlv2_pipelines.py']
source_train = dict(
    pipeline=[
        *_base_.source_labels,
        dict(**_base_.dlv2_resize, scale=(1280, 760)),
        dict(type='PackSegInputs'),
    ]
)
target_train = dict(pipeline=_base_.dlv2_target_pipeline)
val_dataloader = dict(dataset=dict(pipeline=_base_.dlv2_val_pipeline))
test_dataloader = val_dataloader
test_pipeline = _base_.dlv2_target_pipeline
