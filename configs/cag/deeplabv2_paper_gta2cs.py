# The paper's equations: anchors over all pixels, their labels alone, and the
# distance of each pixel. All other configs here do as the release does.
_base_ = './deeplabv2_gta2cs.py'
model = dict(
    anchor_bank=dict(level='pixel'),
    pseudo_label_head=dict(by=['anchor']),
    anchor_loss=dict(level='pixel'),
)
