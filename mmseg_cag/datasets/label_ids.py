# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Raw label ids of the data sets: what each is trained as, or that it is void.

An id in neither table of its data set is unknown and never trained on.
"""

from __future__ import annotations

# Shared by Cityscapes `labelIds` and the GTA5 label images.
CITYSCAPES_IDS: dict[int, int] = {
    7: 0,  # road
    8: 1,  # sidewalk
    11: 2,  # building
    12: 3,  # wall
    13: 4,  # fence
    17: 5,  # pole
    19: 6,  # traffic light
    20: 7,  # traffic sign
    21: 8,  # vegetation
    22: 9,  # terrain
    23: 10,  # sky
    24: 11,  # person
    25: 12,  # rider
    26: 13,  # car
    27: 14,  # truck
    28: 15,  # bus
    31: 16,  # train
    32: 17,  # motorcycle
    33: 18,  # bicycle
}

CITYSCAPES_VOID = frozenset(
    (
        *range(7),  # unlabelled, ego vehicle, border, dynamic, ground
        *(9, 10),  # parking, rail track
        *(14, 15, 16),  # guard rail, bridge, tunnel
        18,  # pole group
        *(29, 30),  # caravan, trailer
        34,  # licence plate in GTA5; Cityscapes does not draw its -1
    )
)

# SYNTHIA-RAND-CITYSCAPES, the first channel of `GT/LABELS`.
SYNTHIA_IDS: dict[int, int] = {
    3: 0,  # road
    4: 1,  # sidewalk
    2: 2,  # building
    21: 3,  # wall
    5: 4,  # fence
    7: 5,  # pole
    15: 6,  # traffic light
    9: 7,  # traffic sign
    6: 8,  # vegetation
    16: 9,  # terrain
    1: 10,  # sky
    10: 11,  # person
    17: 12,  # rider
    8: 13,  # car
    18: 14,  # truck
    19: 15,  # bus
    20: 16,  # train
    12: 17,  # motorcycle
    11: 18,  # bicycle
}

# Void, parking slot, road work, lane marking.
SYNTHIA_VOID = frozenset((0, 13, 14, 22))

# Files that hold train ids already, such as Cityscapes `labelTrainIds`.
TRAIN_IDS: dict[int, int] = {train: train for train in CITYSCAPES_IDS.values()}
TRAIN_VOID = frozenset((255,))
