# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Classes of a scene, as Cityscapes trainIds."""

from __future__ import annotations

from enum import IntEnum


class Label(IntEnum):
    """Cityscapes trainIds; `VOID` pixels are never scored."""

    ROAD = 0
    SIDEWALK = 1
    BUILDING = 2
    WALL = 3
    FENCE = 4
    POLE = 5
    LIGHT = 6
    SIGN = 7
    VEGETATION = 8
    TERRAIN = 9
    SKY = 10
    PERSON = 11
    RIDER = 12
    CAR = 13
    TRUCK = 14
    BUS = 15
    TRAIN = 16
    MOTORCYCLE = 17
    BICYCLE = 18
    VOID = 255


CLASSES = tuple(label for label in Label if label is not Label.VOID)

# Cityscapes colours, RGB, in trainId order.
PALETTE = (
    (128, 64, 128),
    (244, 35, 232),
    (70, 70, 70),
    (102, 102, 156),
    (190, 153, 153),
    (153, 153, 153),
    (250, 170, 30),
    (220, 220, 0),
    (107, 142, 35),
    (152, 251, 152),
    (70, 130, 180),
    (220, 20, 60),
    (255, 0, 0),
    (0, 0, 142),
    (0, 0, 70),
    (0, 60, 100),
    (0, 80, 100),
    (0, 0, 230),
    (119, 11, 32),
)
