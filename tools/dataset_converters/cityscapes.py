# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Convert the labels of Cityscapes to trainIds.

python tools/dataset_converters/cityscapes.py data/cityscapes
"""

from __future__ import annotations

from convert_command import convert_command

if __name__ == '__main__':
    convert_command(
        __doc__, ids='cityscapes', gt_dir='gtFine', suffix='_labelIds.png'
    )
