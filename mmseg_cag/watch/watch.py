# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from .card import Card
from .detector import Detector
from .frame import Frame
from .network import WatchedNetwork

# Minimum average number of frames between false alarms.
FRAMES_PER_FALSE_ALARM = 10_000

# legend: P pixels, H W image


class Look(NamedTuple):
    """Result of the watch for a frame.

    Attributes:
        scores: Distance from normal, by score name.
        alarms: Names of the scores whose alarm starts with this frame.
        worth: Worth of its label: the surprise of all scores, in nats.
        classes: Predicted classes (P,) int64 of the sampled pixels.
    """

    scores: dict[str, float]
    alarms: list[str]
    worth: float
    classes: np.ndarray


class Watch:
    """Compare a stream of frames with a domain card.

    Args:
        network: The network, or its ONNX file.
        card: The card, or its file.
        frames_per_false_alarm: Minimum average number of frames between false
            alarms, over all scores, on an unchanged stream.

    Raises:
        MissingFileError: A file is missing.
        UserError: The card belongs to another network.
    """

    def __init__(
        self,
        network: WatchedNetwork | Path,
        card: Card | Path,
        frames_per_false_alarm: float = FRAMES_PER_FALSE_ALARM,
    ) -> None:
        if not isinstance(network, WatchedNetwork):
            network = WatchedNetwork(network)
        origin = 'card'
        if not isinstance(card, Card):
            card, origin = Card.read(card), card
        card.require_network(network.path, origin)
        self.network = network
        self.judge = Judge(card, frames_per_false_alarm)

    def look(self, image: np.ndarray) -> Look:
        """Check the next frame.

        Args:
            image: (H, W, 3) uint8, BGR.

        Raises:
            UserError: It has another size.
        """
        return self.judge.look(self.network.look(image))


class Judge:
    """Judge frames by a card, independent of the network.

    Args:
        card: The card.
        frames_per_false_alarm: See `Watch`.
    """

    def __init__(
        self,
        card: Card,
        frames_per_false_alarm: float = FRAMES_PER_FALSE_ALARM,
    ) -> None:
        self.card = card
        limit = len(card.tails) * frames_per_false_alarm
        self.detectors = {
            name: Detector(card.correlation, limit) for name in card.tails
        }
        self.before: Frame | None = None

    def look(self, frame: Frame) -> Look:
        """Judge the next frame."""
        scores = self.card.scores(frame, self.before)
        self.before = frame
        tails = {n: t for n, t in self.card.tails.items() if n in scores}
        alarms = [
            name
            for name, tail in tails.items()
            if self.detectors[name].add(tail.rarity(scores[name]))
        ]
        worth = sum(tail.surprise(scores[n]) for n, tail in tails.items())
        return Look(scores, alarms, worth, frame.classes)
