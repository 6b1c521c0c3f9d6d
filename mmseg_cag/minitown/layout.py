# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Sample the layout of a street, without drawing it."""

from __future__ import annotations

from typing import Any

import numpy as np

from .scene import (
    ALONG,
    EXTENTS,
    FAR,
    LEFT,
    RIGHT,
    TOWARDS,
    Plot,
    Scene,
    Side,
    Thing,
)
from .styles import Paint, Streets, TownStyle
from .view import View


class Sampler:
    """Samples one scene in the style of a town."""

    def __init__(self, style: TownStyle, rng: np.random.Generator) -> None:
        self.streets: Streets = style.streets
        self.paint: Paint = style.paint
        self.style = style
        self.rng = rng

    def sample(self) -> Scene:
        """Sample a street with all its objects."""
        scene = self._street()
        for side in scene.sides:
            self._plots(scene, side)
            self._barrier(scene, side)
        self._large_vehicles(scene)
        self._riders(scene)
        self._cars(scene)
        for side in scene.sides:
            self._trees(scene, side)
            self._furniture(scene, side)
            self._sidewalk_life(scene, side)
        self._walkers(scene)
        return scene

    def _uniform(self, span: tuple[float, float]) -> float:
        return float(self.rng.uniform(*span))

    def _chance(self, share: float) -> bool:
        return bool(self.rng.random() < share)

    def _pick(self, choices: tuple) -> tuple:
        return choices[self.rng.integers(len(choices))]

    def _street(self) -> Scene:
        rng, streets = self.rng, self.streets
        view = View(
            self._uniform(streets.focal),
            self._uniform(streets.horizon),
            self._uniform(streets.centre),
            self._uniform(streets.camera_height),
        )
        lane = self._uniform(streets.lane)
        oncoming = rng.integers(*streets.lanes_left, endpoint=True)
        kerbs = (
            lane * (0.5 + oncoming) + 2.1 * self._chance(0.7),
            lane * 0.5 + 2.1 * self._chance(0.6) + 0.3,
        )
        sides = tuple(
            self._side(sign, kerb)
            for sign, kerb in zip((LEFT, RIGHT), kerbs, strict=True)
        )
        angle = rng.uniform(0, 2 * np.pi)
        length = self._uniform(self.style.light.shadow_length)
        return Scene(
            view,
            sides,
            lane,
            crossing=rng.uniform(9, 26) if self._chance(0.4) else None,
            shadow=(length * np.cos(angle), length * np.sin(angle)),
        )

    def _side(self, sign: int, kerb: float) -> Side:
        lawn = self.rng.uniform(1.2, 2.5) * self._chance(self.streets.lawn)
        path = kerb + lawn
        walk = path + self._uniform(self.streets.walk)
        verge = self.rng.uniform(1.5, 5) * self._chance(self.streets.verge)
        return Side(sign, kerb, path, walk, walk + verge)

    def _plots(self, scene: Scene, side: Side) -> None:
        near = self.rng.uniform(-6, 0)
        while near < FAR:
            is_open = self._chance(self.streets.open_plot)
            kind = 'building'
            if is_open:
                kind = 'gap' if self._chance(0.25) else 'park'
            far = near + self.rng.uniform(8, 18)
            storeys = self.rng.integers(*self.streets.storeys, endpoint=True)
            plot = Plot(
                side, near, far, kind, storeys, self._pick(self.paint.facades)
            )
            scene.plots.append(plot)
            if kind == 'park':
                self._park(scene, plot)
            near = far

    def _park(self, scene: Scene, plot: Plot) -> None:
        rng, side = self.rng, plot.side
        for _ in range(rng.integers(2, 6)):
            x = side.sign * (side.front + rng.uniform(2, 10))
            z = rng.uniform(plot.near, plot.far)
            kind = self._pick((*self.streets.tree_kinds, 'bush'))
            self._add(scene, kind, x, z, scale=rng.uniform(0.8, 1.3))
        kind = rng.choice(
            ('fence', 'wall', 'hedge', ''), p=(0.4, 0.3, 0.2, 0.1)
        )
        if kind:
            self._strip(
                scene, kind, side.sign * side.front, plot.near, plot.far
            )

    def _barrier(self, scene: Scene, side: Side) -> None:
        if not self._chance(self.streets.barrier):
            return
        kind = self.rng.choice(('fence', 'wall'), p=(0.5, 0.5))
        near = self.rng.uniform(4, 14)
        at_kerb = kind == 'fence' and self._chance(0.6)
        x = side.kerb + 0.35 if at_kerb else side.walk - 0.2
        far = near + self.rng.uniform(9, 30)
        self._strip(scene, kind, side.sign * x, near, far)

    def _strip(
        self, scene: Scene, kind: str, x: float, near: float, far: float
    ) -> None:
        """Add a row of segments, which sorts well against other objects."""
        colours = {'fence': self.paint.fences, 'wall': self.paint.walls}
        colour = self._pick(colours.get(kind, self.paint.leaves))
        length = EXTENTS[kind][0]
        variant = int(self.rng.integers(8))
        for z in np.arange(max(near, 3) + length / 2, far, length):
            scene.things.append(
                Thing(kind, x, float(z), colour=colour, variant=variant)
            )

    def _add(
        self, scene: Scene, kind: str, x: float, z: float, **more: Any
    ) -> bool:
        """Place an object if the spot is free and visible."""
        more.setdefault('variant', int(self.rng.integers(1 << 16)))
        thing = Thing(kind, float(x), float(z), **more)
        if thing.near < 4 or thing.near > FAR:
            return False
        # Trees may overlap fences and cars: their crowns are high.
        if any(
            other.kind not in self.streets.tree_kinds and thing.collides(other)
            for other in scene.things
        ):
            return False
        scene.things.append(thing)
        return True

    def _lane(self, scene: Scene, heading: float) -> float:
        """Return the x of a lane whose traffic drives towards `heading`."""
        if heading == ALONG:
            return self.rng.uniform(-0.2, 0.2)
        count = max(1, round(scene.sides[0].kerb / scene.lane - 0.7))
        return -scene.lane * self.rng.integers(1, count, endpoint=True)

    def _heading(self) -> float:
        return ALONG if self._chance(0.4) else TOWARDS

    def _large_vehicles(self, scene: Scene) -> None:
        rng = self.rng
        if self._chance(0.14):
            x = self._lane(scene, TOWARDS)
            scene.rails = x
            z = rng.uniform(20, 36)
            self._coloured(scene, 'train', x, z, self._heading())
        elif self._chance(0.08):
            scene.rails = self._lane(scene, TOWARDS)
        for kind, share in (('bus', 0.2), ('truck', 0.17)):
            if not self._chance(share):
                continue
            heading = self._heading()
            half = EXTENTS[kind][0] / 2
            z = half + rng.uniform(8, 24)
            self._coloured(scene, kind, self._lane(scene, heading), z, heading)

    def _coloured(
        self, scene: Scene, kind: str, x: float, z: float, heading: float
    ) -> bool:
        ranges = {
            'car': self.paint.cars,
            'truck': self.paint.trucks,
            'bus': self.paint.buses,
            'train': self.paint.trains,
        }
        colour = self._pick(ranges.get(kind, self.paint.cars))
        scale = self.rng.uniform(0.95, 1.06)
        return self._add(
            scene, kind, x, z, heading=heading, colour=colour, scale=scale
        )

    def _riders(self, scene: Scene) -> None:
        rng = self.rng
        for kind, share in (('bike_rider', 0.5), ('moto_rider', 0.38)):
            if not self._chance(share):
                continue
            z = rng.uniform(6.5, 14)
            if self._chance(0.45):
                turn = rng.uniform(-0.4, 0.4)
                heading = rng.choice((-1, 1)) * np.pi / 2 + turn
                x = rng.uniform(-scene.sides[0].kerb, scene.sides[1].kerb)
            else:
                heading = self._heading()
                side = scene.sides[1 if heading == ALONG else 0]
                x = side.sign * (side.kerb - rng.uniform(0.6, 2.4))
            self._coloured(scene, kind, x, z, heading)

    def _cars(self, scene: Scene) -> None:
        rng = self.rng
        for _ in range(round(self._uniform(self.streets.traffic))):
            heading = self._heading()
            z = rng.uniform(9, 60)
            self._coloured(
                scene, 'car', self._lane(scene, heading), z, heading
            )
        if self._chance(0.12):
            heading = rng.choice((-1, 1)) * np.pi / 2
            self._coloured(
                scene, 'car', rng.uniform(-8, 8), rng.uniform(12, 30), heading
            )
        for side in scene.sides:
            if side.kerb % scene.lane < 0.5:  # no parking lane here
                continue
            heading = ALONG if side.sign == RIGHT else TOWARDS
            for z in np.arange(rng.uniform(6, 11), 60, 5.6):
                if self._chance(self.streets.parked):
                    x = side.sign * (side.kerb - 1.05)
                    self._coloured(scene, 'car', x, z, heading)

    def _trees(self, scene: Scene, side: Side) -> None:
        if not self._chance(self.streets.trees):
            return
        rng = self.rng
        kind = self._pick(self.streets.tree_kinds)
        x = side.kerb + 0.8
        if side.front - side.walk > 1.5:
            x = (side.front + side.walk) / 2
        z = rng.uniform(6, 14)
        while z < FAR:
            size = rng.uniform(0.75, 1.2)
            self._add(scene, kind, side.sign * x, z, scale=size)
            z += self._uniform(self.streets.tree_gap)

    def _furniture(self, scene: Scene, side: Side) -> None:
        rng, x = self.rng, side.sign * (side.kerb + 0.45)
        pole = self._pick(self.paint.poles)
        if scene.crossing and self._chance(0.85):
            self._add(
                scene, 'traffic_light', x, scene.crossing + 0.8, colour=pole
            )
        elif self._chance(0.3):
            z = rng.uniform(9, 22)
            self._add(scene, 'traffic_light', x, z, colour=pole)
        for _ in range(rng.integers(1, 4)):
            z = rng.uniform(8, 34)
            self._add(scene, 'sign', x, z, colour=pole)
        if self._chance(0.7):
            for z in np.arange(rng.uniform(8, 20), 70, rng.uniform(14, 22)):
                self._add(scene, 'lamp', x, z, colour=pole)
        if self._chance(0.2):
            for z in np.arange(rng.uniform(7, 12), 24, 2.0):
                self._add(scene, 'bollard', x, z, colour=pole)

    def _sidewalk_life(self, scene: Scene, side: Side) -> None:
        rng = self.rng
        for kind, share in (('bicycle', 0.36), ('motorcycle', 0.24)):
            if not self._chance(share):
                continue
            start = rng.uniform(7, 15)
            for step in range(rng.integers(1, 4)):
                x = side.sign * (side.path + rng.uniform(0.7, 1.2))
                heading = rng.choice((-1, 1)) * np.pi / 2
                heading += rng.uniform(-0.3, 0.3)
                self._coloured(scene, kind, x, start + 1.2 * step, heading)
        if side.front - side.walk > 1:
            for _ in range(rng.integers(0, 4)):
                x = side.sign * (side.front - 0.6)
                self._add(scene, 'bush', x, rng.uniform(10, 50))

    def _walkers(self, scene: Scene) -> None:
        rng = self.rng
        for _ in range(round(self._uniform(self.streets.walkers))):
            side = scene.sides[rng.integers(2)]
            x = side.sign * rng.uniform(side.path + 0.4, side.walk - 0.3)
            z = rng.uniform(7, 28)
            if scene.crossing and self._chance(0.3):
                x = rng.uniform(-scene.sides[0].kerb, scene.sides[1].kerb)
                z = scene.crossing + rng.uniform(0.5, 2.5)
            scale = rng.uniform(0.9, 1.08)
            if self._chance(0.12):
                scale *= 0.68  # a child
            self._add(scene, 'person', x, z, scale=scale)
