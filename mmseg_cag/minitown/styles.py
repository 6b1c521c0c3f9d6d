# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Styles of the three towns: all their differences.

To narrow or widen the domain gap, move the numbers of `CAMERA` towards or away
from those of `GAME`.
"""

from __future__ import annotations

from dataclasses import dataclass

Colour = tuple[int, int, int]
Span = tuple[float, float]


@dataclass(frozen=True)
class Streets:
    """Layout parameters, in metres and chances per scene or per metre."""

    camera_height: Span
    focal: Span
    horizon: Span
    centre: Span
    lane: Span  # width of a lane
    lanes_left: tuple[int, int]  # oncoming lanes
    walk: Span  # width of the sidewalk
    lawn: float  # chance of a strip of grass before the sidewalk
    verge: float  # chance of a grass verge behind the sidewalk
    storeys: tuple[int, int]
    open_plot: float  # chance that a plot is no building
    tree_gap: Span  # distance between street trees
    trees: float  # chance that a side has street trees
    tree_kinds: tuple[str, ...]
    parked: float  # chance that a parking place is taken
    traffic: Span  # moving cars per scene
    walkers: Span  # people per scene
    barrier: float  # chance of a fence or wall along the sidewalk


@dataclass(frozen=True)
class Paint:
    """RGB colours; one is sampled from each tuple of colours."""

    sky: tuple[Colour, Colour]  # zenith, horizon
    clouds: tuple[Colour, float]  # colour, share of the sky
    road: tuple[Colour, ...]
    walk: tuple[Colour, ...]
    kerb: Colour
    marking: Colour
    terrain: tuple[Colour, ...]
    leaves: tuple[Colour, ...]
    bark: Colour
    facades: tuple[Colour, ...]
    roofs: tuple[Colour, ...]
    glass: tuple[Colour, ...]
    walls: tuple[Colour, ...]
    fences: tuple[Colour, ...]
    poles: tuple[Colour, ...]
    signals: Colour  # housing of the traffic lights
    signs: tuple[Colour, ...]
    cars: tuple[Colour, ...]
    trucks: tuple[Colour, ...]
    buses: tuple[Colour, ...]
    trains: tuple[Colour, ...]
    clothes: tuple[Colour, ...]


@dataclass(frozen=True)
class Light:
    """Sun, shadow and air."""

    sun: float  # 0: light from everywhere, 1: hard directed light
    shadow: float  # share of the light a shadow takes away
    softness: float  # blur of the shadow's edge, share of the image height
    shadow_length: Span  # metres of shadow per metre of height
    haze: Colour
    visibility: float  # metres at which haze hides 63 % of the colour
    texture: float  # strength of surface texture


@dataclass(frozen=True)
class Lens:
    """Parameters of the image formation."""

    saturation: Span
    contrast: Span
    brightness: Span  # factor
    gamma: Span
    cast: tuple[float, float, float]  # gain of R, G, B
    cast_jitter: float
    sharpen: float  # strength of unsharp masking
    blur: Span  # sigma as a share of the image height
    noise: float  # grey levels of sensor noise
    vignette: float  # loss of light in the corners
    jpeg: int  # JPEG quality; 100 leaves the image unchanged
    bonnet: float  # chance that the ego car shows at the lower edge


@dataclass(frozen=True)
class TownStyle:
    """A town: its streets, colours, light and camera."""

    streets: Streets
    paint: Paint
    light: Light
    lens: Lens


GAME = TownStyle(
    streets=Streets(
        camera_height=(1.4, 2.1),
        focal=(0.72, 0.85),
        horizon=(0.42, 0.52),
        centre=(0.42, 0.58),
        lane=(3.4, 4.0),
        lanes_left=(1, 3),
        walk=(2.0, 4.5),
        lawn=0.2,
        verge=0.45,
        storeys=(2, 9),
        open_plot=0.35,
        tree_gap=(8, 16),
        trees=0.5,
        tree_kinds=('palm', 'round', 'round'),
        parked=0.4,
        traffic=(2, 6),
        walkers=(2, 7),
        barrier=0.3,
    ),
    paint=Paint(
        sky=((58, 122, 214), (178, 212, 244)),
        clouds=((252, 250, 246), 0.25),
        road=((92, 90, 92), (104, 100, 98), (80, 80, 86)),
        walk=((196, 184, 164), (184, 176, 162), (206, 190, 168)),
        kerb=(222, 214, 200),
        marking=(244, 238, 214),
        terrain=((126, 150, 58), (150, 152, 74), (108, 146, 52)),
        leaves=((66, 128, 38), (88, 146, 44), (52, 110, 42)),
        bark=(116, 84, 56),
        facades=(
            (226, 196, 150),
            (206, 116, 84),
            (238, 224, 196),
            (196, 158, 120),
            (222, 170, 122),
            (176, 92, 70),
            (240, 236, 226),
        ),
        roofs=((168, 74, 54), (128, 88, 70), (110, 104, 104)),
        glass=((70, 116, 160), (54, 86, 122), (96, 146, 186)),
        walls=((206, 190, 162), (188, 150, 120), (170, 162, 150)),
        fences=((52, 56, 60), (230, 226, 216), (122, 88, 60)),
        poles=((84, 82, 82), (120, 118, 116), (104, 76, 52)),
        signals=(222, 176, 40),
        signs=(
            (200, 30, 36),
            (24, 122, 66),
            (240, 200, 40),
            (244, 244, 240),
        ),
        cars=(
            (206, 32, 34),
            (28, 74, 186),
            (244, 190, 36),
            (242, 242, 242),
            (34, 34, 40),
            (40, 142, 90),
            (232, 110, 30),
            (170, 176, 186),
        ),
        trucks=((232, 232, 228), (196, 60, 40), (52, 96, 168)),
        buses=((236, 236, 232), (240, 172, 32), (40, 120, 190)),
        trains=((206, 40, 44), (232, 228, 214), (58, 92, 160)),
        clothes=(
            (212, 50, 50),
            (44, 84, 180),
            (240, 236, 226),
            (38, 40, 48),
            (232, 176, 60),
            (70, 150, 92),
            (142, 76, 150),
        ),
    ),
    light=Light(
        sun=0.55,
        shadow=0.5,
        softness=0.0,
        shadow_length=(0.4, 1.1),
        haze=(190, 212, 236),
        visibility=320,
        texture=1.0,
    ),
    lens=Lens(
        saturation=(1.1, 1.35),
        contrast=(1.05, 1.2),
        brightness=(0.95, 1.1),
        gamma=(0.9, 1.05),
        cast=(1.04, 1.0, 0.93),
        cast_jitter=0.02,
        sharpen=0.5,
        blur=(0, 0),
        noise=0,
        vignette=0,
        jpeg=100,
        bonnet=0,
    ),
)

CAMERA = TownStyle(
    streets=Streets(
        camera_height=(1.15, 1.4),
        focal=(0.82, 0.95),
        horizon=(0.38, 0.46),
        centre=(0.45, 0.55),
        lane=(2.9, 3.4),
        lanes_left=(1, 2),
        walk=(2.0, 4.2),
        lawn=0.3,
        verge=0.45,
        storeys=(3, 6),
        open_plot=0.28,
        tree_gap=(5, 11),
        trees=0.7,
        tree_kinds=('round', 'tall', 'round', 'conifer'),
        parked=0.6,
        traffic=(1, 5),
        walkers=(4, 12),
        barrier=0.35,
    ),
    paint=Paint(
        sky=((206, 210, 212), (226, 227, 224)),
        clouds=((190, 194, 198), 0.5),
        road=((112, 114, 114), (124, 124, 122), (100, 103, 106)),
        walk=((134, 128, 126), (146, 136, 130), (122, 120, 122)),
        kerb=(150, 148, 144),
        marking=(190, 190, 186),
        terrain=((98, 116, 62), (112, 114, 68), (86, 108, 56)),
        leaves=((58, 76, 48), (74, 84, 46), (48, 64, 48), (94, 88, 44)),
        bark=(70, 64, 58),
        facades=(
            (168, 160, 146),
            (150, 144, 140),
            (186, 176, 152),
            (132, 110, 100),
            (172, 150, 128),
            (144, 152, 154),
            (190, 186, 178),
        ),
        roofs=((112, 72, 62), (84, 80, 82), (98, 88, 84)),
        glass=((74, 82, 88), (92, 102, 108), (58, 64, 70)),
        walls=((128, 122, 112), (146, 134, 122), (112, 108, 106)),
        fences=((72, 80, 74), (120, 122, 122), (92, 80, 68)),
        poles=((112, 114, 112), (88, 92, 92), (134, 134, 130)),
        signals=(46, 52, 50),
        signs=(
            (176, 48, 50),
            (44, 78, 142),
            (196, 176, 70),
            (206, 206, 202),
        ),
        cars=(
            (52, 54, 58),
            (150, 154, 158),
            (196, 198, 198),
            (64, 72, 94),
            (110, 112, 116),
            (114, 50, 48),
            (36, 38, 40),
        ),
        trucks=((176, 178, 178), (70, 90, 122), (148, 120, 62)),
        buses=((168, 62, 54), (196, 192, 180), (96, 122, 96)),
        trains=((184, 164, 74), (166, 60, 56), (178, 182, 184)),
        clothes=(
            (52, 54, 62),
            (84, 82, 84),
            (60, 70, 98),
            (120, 92, 80),
            (142, 142, 140),
            (112, 52, 54),
        ),
    ),
    light=Light(
        sun=0.12,
        shadow=0.28,
        softness=0.02,
        shadow_length=(0.05, 0.2),
        haze=(200, 204, 206),
        visibility=200,
        texture=0.7,
    ),
    lens=Lens(
        saturation=(0.8, 1.05),
        contrast=(0.9, 1.08),
        brightness=(0.9, 1.15),
        gamma=(0.9, 1.1),
        cast=(0.95, 1.03, 0.98),
        cast_jitter=0.04,
        sharpen=0,
        blur=(0.002, 0.005),
        noise=3.0,
        vignette=0.3,
        jpeg=80,
        bonnet=0.4,
    ),
)

RENDERED = TownStyle(
    streets=Streets(
        camera_height=(1.6, 3.2),
        focal=(0.6, 0.8),
        horizon=(0.34, 0.5),
        centre=(0.38, 0.62),
        lane=(3.2, 3.8),
        lanes_left=(1, 3),
        walk=(2.5, 5),
        lawn=0.15,
        verge=0.35,
        storeys=(4, 12),
        open_plot=0.25,
        tree_gap=(7, 14),
        trees=0.6,
        tree_kinds=('conifer', 'round', 'tall'),
        parked=0.3,
        traffic=(3, 8),
        walkers=(6, 16),
        barrier=0.35,
    ),
    paint=Paint(
        sky=((120, 150, 190), (214, 200, 196)),
        clouds=((232, 220, 214), 0.4),
        road=((66, 66, 76), (76, 74, 84), (58, 60, 70)),
        walk=((150, 132, 126), (138, 134, 140), (160, 140, 128)),
        kerb=(176, 170, 168),
        marking=(226, 226, 232),
        terrain=((78, 120, 70), (96, 128, 80), (120, 112, 80)),
        leaves=((40, 96, 62), (54, 108, 58), (76, 110, 50)),
        bark=(86, 66, 60),
        facades=(
            (150, 128, 134),
            (184, 160, 150),
            (120, 124, 146),
            (166, 110, 96),
            (196, 188, 190),
        ),
        roofs=((120, 60, 60), (80, 80, 96), (100, 84, 80)),
        glass=((44, 60, 92), (110, 130, 160), (60, 70, 84)),
        walls=((150, 140, 142), (128, 112, 108), (166, 152, 140)),
        fences=((90, 96, 110), (60, 90, 76), (150, 130, 110)),
        poles=((96, 98, 108), (70, 70, 80), (130, 128, 130)),
        signals=(36, 36, 44),
        signs=((190, 40, 60), (40, 70, 170), (220, 190, 60), (230, 230, 235)),
        cars=(
            (160, 30, 50),
            (60, 80, 140),
            (200, 200, 210),
            (40, 40, 52),
            (110, 140, 120),
            (180, 150, 90),
        ),
        trucks=((210, 210, 220), (90, 110, 150), (160, 70, 60)),
        buses=((60, 110, 170), (190, 50, 60), (220, 200, 120)),
        trains=((90, 150, 110), (220, 220, 226), (170, 60, 90)),
        clothes=(
            (150, 50, 70),
            (60, 70, 130),
            (200, 196, 200),
            (40, 42, 56),
            (120, 110, 80),
        ),
    ),
    light=Light(
        sun=0.35,
        shadow=0.4,
        softness=0.006,
        shadow_length=(0.6, 1.6),
        haze=(206, 200, 204),
        visibility=160,
        texture=1.3,
    ),
    lens=Lens(
        saturation=(0.9, 1.1),
        contrast=(0.95, 1.15),
        brightness=(0.7, 1.15),
        gamma=(0.9, 1.15),
        cast=(1.02, 0.97, 1.04),
        cast_jitter=0.04,
        sharpen=0.2,
        blur=(0, 0.002),
        noise=1.5,
        vignette=0,
        jpeg=100,
        bonnet=0,
    ),
)
