# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Convert the labels of SYNTHIA-RAND-CITYSCAPES to Cityscapes trainIds.

python tools/dataset_converters/synthia.py data/synthia
"""

from __future__ import annotations

from convert_command import convert_command

if __name__ == '__main__':
    convert_command(__doc__, ids='synthia', gt_dir='GT/LABELS', suffix='.png')
