# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
# An image translator on SYNTHIA -> Cityscapes.
_base_ = [
    '../datasets/synthia2cs.py',
    '../datasets/translator_pipelines.py',
    './translator.py',
]
images = dict(_base_.source, data_prefix=dict(img_path='RGB'))
train_dataloader = dict(
    dataset=dict(
        source=dict(**images, pipeline=_base_.translator_train),
        target=dict(_base_.target_train, pipeline=_base_.translator_train),
    )
)
translate_dataloader = dict(
    dataset=dict(**images, pipeline=_base_.translator_test)
)
# There is no truth to compare with.
val_dataloader = val_evaluator = None
test_dataloader = test_evaluator = None
