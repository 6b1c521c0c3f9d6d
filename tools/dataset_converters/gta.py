# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Convert the labels of GTA5 to Cityscapes trainIds.

python tools/dataset_converters/gta.py data/gta
"""

from __future__ import annotations

from convert_command import convert_command

if __name__ == '__main__':
    convert_command(__doc__, ids='gta', gt_dir='labels', suffix='.png')
