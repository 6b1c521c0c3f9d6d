# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Domain card: statistics of a network's outputs on its target domain."""

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
ALIKE = 0.1  # autocorrelation below which frames are independent
FEWEST = 50  # minimum frames of a card
SHRINKAGE = 0.1  # shrinkage of the covariance towards the identity

# legend: K classes, C moments, L levels


@dataclass(frozen=True)
class Card:
    """Statistics of normal frames.

    Attributes:
        network: SHA-256 of the ONNX file.
        classes: Names of the classes.
        frames: Number of frames it was made from.
        correlation: Lag in frames after which frames of a stream are
            independent.
        prior: Shares of the classes (K,).
        distances: Distance to the nearest anchor at the quantiles `LEVELS`, by
            the anchor's class (K, L); pooled over classes for rare ones.
        gaps: The same for the gap to the runner-up.
        mean: Mean of the features' moments (C,).
        spread: Their standard deviations from frame to frame (C,).
        whitening: Decorrelates moments divided by ``spread`` (C, C).
        tails: Tail by score name; unseen scores are absent.
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
        """Score the distance of a frame from normal.

        Args:
            frame: The frame.
            before: The previous frame, for the flicker; None for a still.
                One of another size is from another stream: no flicker.
        """
        shares = np.bincount(frame.classes, minlength=len(self.prior))
        shares = shares / len(frame.classes)
        overlap = np.sqrt(shares * self.prior).sum()
        far = np.array(self.distances)[frame.nearest, UNKNOWN]
        near = np.array(self.gaps)[frame.nearest, UNSURE]
        moved = (frame.moments - self.mean) / np.array(self.spread)
        moved = moved @ np.array(self.whitening)
        scores = {
            'prior': np.sqrt(max(1 - overlap, 0)),  # Hellinger distance
            # NaN counts as abnormal.
            'unknown': (~(frame.distance <= far)).mean(),
            'margin': (~(frame.gap >= near)).mean(),
            'moments': np.square(moved).mean(),
        }
        if before is not None and before.size == frame.size:
            scores['flicker'] = (frame.classes != before.classes).mean()
        return {name: float(score) for name, score in scores.items()}

    def write(self, path: Path) -> None:
        """Write the card as JSON."""
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
            UserError: It is no card, or has another version.
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
        """Check that the card belongs to this network.

        Args:
            path: The ONNX file.
            origin: Source of the card, for the error.

        Raises:
            UserError: It belongs to another network.
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
    """Make the domain card.

    The tails are fitted on the second half of the frames: the first half, used
    for fitting, looks more normal than it is.

    Args:
        frames: Frames of the domain.
        network: `fingerprint` of the ONNX file.
        classes: Names of the classes.
        correlation: Lag in frames after which frames are independent; None
            measures it on a stream.
        is_stream: Whether the frames are consecutive; otherwise they count as
            independent and the flicker is unknown.

    Raises:
        UserError: There are too few frames, or the network's output is not
            finite.
    """
    everything = list(frames)
    if len(everything) < FEWEST:
        raise UserError(
            f'a domain card needs {FEWEST} frames or more, got '
            f'{len(everything)}'
        )
    for number, frame in enumerate(everything, 1):
        numbers = frame.distance, frame.gap, frame.moments
        if not all(np.isfinite(part).all() for part in numbers):
            raise UserError(
                f'frame {number}: the output of the network is not finite, '
                'expected numbers for a domain card'
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
        # Frames of several sizes are no stream: their card has no flicker.
        if len(scores) == len(rows):
            card.tails[name] = Tail.fit(np.array(scores), apart)
    return card


def correlation_length(moments: np.ndarray) -> int:
    """Measure the lag after which frames are independent.

    This is the first lag at which the autocorrelation over all channels is
    below 0.1.

    Args:
        moments: Moments of the frames of a stream (F, C).

    Raises:
        UserError: There is none within a quarter of the stream.
    """
    centred = (moments - moments.mean(0)) / np.maximum(moments.std(0), 1e-6)
    power = np.square(centred).mean()
    longest = len(centred) // 4
    for lag in range(1, longest):
        if (centred[lag:] * centred[:-lag]).mean() < ALIKE * power:
            return lag
    raise UserError(
        f'the frames are still alike after {longest} frames, expected a '
        'longer stream, or --make-card --correlation N'
    )


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
        # Too few pixels to estimate quantiles.
        found.append(
            np.quantile(own, LEVELS) if len(own) > 999 else everything
        )
    return np.array(found).tolist()


def _whitening(scores: np.ndarray) -> np.ndarray:
    """Compute the matrix that whitens standard scores (F, C).

    The covariance is shrunk towards the identity: frames of a few places say
    little about directions without variation.
    """
    size = scores.shape[1]
    covariance = (1 - SHRINKAGE) * scores.T @ scores / len(scores)
    values, vectors = np.linalg.eigh(covariance + SHRINKAGE * np.eye(size))
    return vectors / np.sqrt(values)


def _short(content: object) -> object:
    """Round numbers to six digits, to keep a card readable."""
    if isinstance(content, float):
        return float(f'{content:.6g}')
    if isinstance(content, dict):
        return {key: _short(value) for key, value in content.items()}
    if isinstance(content, list):
        return [_short(value) for value in content]
    return content
