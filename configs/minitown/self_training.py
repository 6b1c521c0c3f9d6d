# Self-training by probability alone (threshold 0.95): CAG without anchors.
_base_ = './cag.py'
model = dict(
    anchor_loss=None,
    pseudo_label_head=dict(by=['probability'], probability=0.95),
)
default_hooks = dict(_base_.default_hooks, _delete_=True)
default_hooks.pop('anchors')
