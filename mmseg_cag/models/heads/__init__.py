# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from .co_training_head import CoTrainingHead
from .deeplabv3plus_head import DeepLabV3PlusHead
from .dlv2_head import DLV2Head
from .fc_discriminator import FCDiscriminator
from .proda_discriminator import ProDADiscriminator
from .proda_head import ProDAHead
from .pseudo_label_head import PseudoLabelHead

__all__ = [
    'CoTrainingHead',
    'DLV2Head',
    'DeepLabV3PlusHead',
    'FCDiscriminator',
    'ProDADiscriminator',
    'ProDAHead',
    'PseudoLabelHead',
]
