# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""The domain card: what a network sees of the domain that it was made for."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from mmseg_cag.errors import MissingFileError, UserError

from .frame import Frame
from .tail import Tail

FORMAT = 1
LEVELS = (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)
UNKNOWN, UNSURE = LEVELS.index(0.99), LEVELS.index(0.1)
SCORES = ('prior', 'unknown', 'margin', 'moments', 'flicker')
ALIKE = 0.1  # autocorrelation of frames that are no longer alike
FEWEST = 50  # frames that a card is made of
SHRINKAGE = 0.1  # share of no correlation in the covariance

# legend: K classes, C moments, L levels


@dataclass(frozen=True)
class Card:
    """What is normal.

    Attributes:
        network: SHA-256 of the ONNX file.
        classes: Names of the classes.
        frames: Frames that it was made of.
        correlation: Of a stream, frames after which one is independent.
        prior: Shares of the classes (K,).
        distances: Distance to the nearest anchor at `LEVELS`, by class of
            that anchor (K, L); those of all classes for one that is rare.
        gaps: The same of the gap to the runner-up.
        mean: Mean of the features' moments (C,).
        spread: Their standard deviations from frame to frame (C,).
        whitening: What takes the correlation from moments that are divided
            by it (C, C).
        tails: By name of the score; one that was not seen is absent.
    """

    network: str
    classes: list[str]
    frames: int
    correlation: int
    prior: list[float]
    distances: list[list[float]]
    gaps: list[list[float]]
    mean: list[float]
    spread: list[float]
    whitening: list[list[float]]
    tails: dict[str, Tail]

    def scores(self, frame: Frame, before: Frame | None) -> dict[str, float]:
        """Score how far a frame is from normal; more is farther.

        Args:
            frame: The frame.
            before: The one before it, for the flicker; None of a still.
        """
        shares = np.bincount(frame.classes, minlength=len(self.prior))
        shares = shares / len(frame.classes)
        overlap = np.sqrt(shares * self.prior).sum()
        far = np.array(self.distances)[frame.nearest, UNKNOWN]
        near = np.array(self.gaps)[frame.nearest, UNSURE]
        moved = (frame.moments - self.mean) / np.array(self.spread)
        moved = moved @ np.array(self.whitening)
        scores = {
            'prior': np.sqrt(max(1 - overlap, 0)),  # Hellinger's distance
            'unknown': (frame.distance > far).mean(),
            'margin': (frame.gap < near).mean(),
            'moments': np.square(moved).mean(),
        }
        if before is not None:
            scores['flicker'] = (frame.classes != before.classes).mean()
        return {name: float(score) for name, score in scores.items()}

    def write(self, path: Path) -> None:
        """Write it as JSON."""
        tails = {k: tail._asdict() for k, tail in self.tails.items()}
        content = {'format': FORMAT, **asdict(self), 'tails': tails}
        lines = (
            f'"{key}": {json.dumps(_short(value))}'
            for key, value in content.items()
        )
        path.write_text('{\n' + ',\n'.join(lines) + '\n}\n')

    @classmethod
    def read(cls, path: Path) -> Card:
        """Read a card.

        Raises:
            MissingFileError: There is no such file.
            UserError: It is no card, or of another version.
        """
        try:
            content = json.loads(path.read_text(encoding='utf-8'))
        except FileNotFoundError as error:
            raise MissingFileError(f'{path}: card not found') from error
        except (OSError, ValueError) as error:
            raise UserError(f'{path}: not readable as JSON') from error
        try:
            if content.pop('format') != FORMAT:
                raise KeyError
            tails = content.pop('tails').items()
            return cls(**content, tails={k: Tail(**t) for k, t in tails})
        except (KeyError, TypeError, AttributeError) as error:
            raise UserError(
                f'{path}: expected a domain card of format {FORMAT}'
            ) from error

    def require_network(self, path: Path, origin: object) -> None:
        """Check that the card is of this network.

        Args:
            path: The ONNX file.
            origin: Where the card is from, for the error.

        Raises:
            UserError: It is of another one.
        """
        if (found := fingerprint(path)) != self.network:
            raise UserError(
                f'{origin}: the card of another network, '
                f'{self.network[:12]}, expected that of {path}, {found[:12]}'
            )


def make_card(
    frames: Iterable[Frame],
    network: str,
    classes: Sequence[str],
    correlation: int | None,
    is_stream: bool,
) -> Card:
    """Make the card of a domain.

    The tails are of the later half of the frames: what the first half was
    fitted to looks more normal than it is.

    Args:
        frames: Of the domain.
        network: `fingerprint` of the ONNX file.
        classes: Names of the classes.
        correlation: Frames after which one of a stream is independent; None
            measures it, of a stream.
        is_stream: Whether the frames follow each other; else they are taken
            for independent, and nothing is known of the flicker.

    Raises:
        UserError: There are too few frames.
    """
    everything = list(frames)
    if len(everything) < FEWEST:
        raise UserError(
            f'a domain card needs {FEWEST} frames or more, got '
            f'{len(everything)}'
        )
    half = len(everything) // 2
    seen, later = everything[:half], everything[half:]
    predicted, nearest, distance, gap = (
        np.concatenate(part) for part in list(zip(*seen, strict=True))[:4]
    )
    moments = np.stack([frame.moments for frame in seen])
    mean, spread = moments.mean(0), np.maximum(moments.std(0), 1e-6)
    size = len(classes)
    if correlation is None:
        correlation = correlation_length(moments)
    card = Card(
        network=network,
        classes=list(classes),
        frames=len(everything),
        correlation=correlation,
        prior=(
            np.bincount(predicted, minlength=size) / len(predicted)
        ).tolist(),
        distances=_quantiles(distance, nearest, size),
        gaps=_quantiles(gap, nearest, size),
        mean=mean.tolist(),
        spread=spread.tolist(),
        whitening=_whitening((moments - mean) / spread).tolist(),
        tails={},
    )
    before = everything[half - 1 : -1] if is_stream else [None] * len(later)
    rows = [card.scores(*pair) for pair in zip(later, before, strict=True)]
    apart = correlation if is_stream else 1
    for name in SCORES:
        scores = [row[name] for row in rows if name in row]
        if scores:
            card.tails[name] = Tail.fit(np.array(scores), apart)
    return card


def correlation_length(moments: np.ndarray) -> int:
    """Measure after how many frames one is independent.

    That is the first lag at which the autocorrelation, over all channels, is
    below 0.1.

    Args:
        moments: Of the frames of a stream (F, C).
    """
    centred = (moments - moments.mean(0)) / np.maximum(moments.std(0), 1e-6)
    power = np.square(centred).mean()
    for lag in range(1, len(centred) // 4):
        if (centred[lag:] * centred[:-lag]).mean() < ALIKE * power:
            return lag
    return len(centred) // 4


def fingerprint(path: Path) -> str:
    """Compute the SHA-256 of a file.

    Raises:
        MissingFileError: There is no such file.
    """
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise MissingFileError(f'{path}: network not found') from error


def _quantiles(
    values: np.ndarray, classes: np.ndarray, size: int
) -> list[list[float]]:
    everything = np.quantile(values, LEVELS)
    found = []
    for k in range(size):
        own = values[classes == k]
        # Of so few pixels no quantile is known.
        found.append(
            np.quantile(own, LEVELS) if len(own) > 999 else everything
        )
    return np.array(found).tolist()


def _whitening(scores: np.ndarray) -> np.ndarray:
    """Compute what takes the correlation from standard scores (F, C).

    The covariance is shrunk towards none: frames of a few places say little
    of directions in which they do not differ.
    """
    size = scores.shape[1]
    covariance = (1 - SHRINKAGE) * scores.T @ scores / len(scores)
    values, vectors = np.linalg.eigh(covariance + SHRINKAGE * np.eye(size))
    return vectors / np.sqrt(values)


def _short(content: object) -> object:
    """Round numbers to six digits, so that a card can be read."""
    if isinstance(content, float):
        return float(f'{content:.6g}')
    if isinstance(content, dict):
        return {key: _short(value) for key, value in content.items()}
    if isinstance(content, list):
        return [_short(value) for value in content]
    return content
