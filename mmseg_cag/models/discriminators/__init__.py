# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from .fc_discriminator import FCDiscriminator
from .patch_discriminator import PatchDiscriminator
from .proda_discriminator import ProDADiscriminator

__all__ = ['FCDiscriminator', 'PatchDiscriminator', 'ProDADiscriminator']
