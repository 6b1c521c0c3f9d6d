# Trained on target labels: what adaptation could reach at most.
_base_ = './source_only.py'
train_dataloader = dict(dataset=dict(_delete_=True, **_base_.target_labelled))
