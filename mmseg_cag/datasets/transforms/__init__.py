# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from .load_image_on_demand import LoadImageOnDemand
from .random_resize_crop import RandomResizeCrop

__all__ = ['LoadImageOnDemand', 'RandomResizeCrop']
