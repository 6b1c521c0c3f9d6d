# Self-training by probability alone (threshold 0.95): CAG without anchors.
_base_ = './cag.py'
model = dict(
    anchor_loss=None,
    pseudo_label_head=dict(by=['probability'], probability=0.95),
)
custom_hooks = [
    # All but the anchors'.
    *_base_.custom_hooks[:-1],
]
