# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Find how the target differs from the source, and test against chance.

Each difference is measured in its own unit and compared with the difference
between equally many random source images and the other source images. Input
shifts (light, colour, object size) also shift the predictions, so they are
listed before the classes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from .observe import Observed
from .prior import (
    black_box_prior,
    em_prior,
    shrunk_prior,
    softmax,
    temperature_of,
)

# legend: N images, K classes, P pixels, D draws

DRAWS = 100  # random sets of source images to estimate chance
ENOUGH = 20_000  # pixels to fit the temperature
TRUSTED = 0.001  # minimum share of the source for a class to count
FLOOR = 2e-3  # added to shares before taking a ratio
OVERFIT = 0.3  # minimum log factor of a predicted share
MANY = 3  # shifted classes from which the whole prior has shifted
ABSENT = 0.2  # prior factor below which a class is called absent

BRIGHTNESS, COLOUR, SCALE, DETAIL, ABSENCE, PRIOR = (
    'brightness',
    'colour',
    'object scale',
    'detail',
    'absent class',
    'class prior',
)
# Minimum difference of each that counts, even if it exceeds chance: logarithms
# of factors.
LEAST = {BRIGHTNESS: 0.12, COLOUR: 0.06, SCALE: 0.1, DETAIL: 0.6, PRIOR: 0.7}


class Finding(NamedTuple):
    """One difference between the domains.

    Attributes:
        name: What differs.
        value: Its size, the logarithm of a factor.
        score: Significant from 1 on.
        text: Description in words.
    """

    name: str
    value: float
    score: float
    text: str


class Summary(NamedTuple):
    """Statistics of a set of images.

    Attributes:
        predicted: Predicted share of each class (K,).
        errors: Standard errors of these shares over images (K,).
        colour: Mean logarithm of red, green and blue (K, 3) by class.
        sizes: Mean logarithm of the sides of components (K,).
        components: Weights of these means (K,).
        spectrum: Log power by octave (B,).
    """

    predicted: np.ndarray
    errors: np.ndarray
    colour: np.ndarray
    sizes: np.ndarray
    components: np.ndarray
    spectrum: np.ndarray


class Domain(NamedTuple):
    """A domain's images as arrays (N, ...), to sum over subsets."""

    predicted: np.ndarray
    colour: np.ndarray
    sizes: np.ndarray
    components: np.ndarray
    spectrum: np.ndarray

    @classmethod
    def of(cls, images: Sequence[Observed]) -> Domain:
        """Stack the observations of images."""
        return cls(
            *(
                np.array([getattr(image, name) for image in images], float)
                for name in cls._fields
            )
        )

    def summary(self, chosen: np.ndarray | slice = slice(None)) -> Summary:
        """Summarise a subset of the images."""
        predicted = self.predicted[chosen]
        pixels = predicted.sum(0)
        share = pixels / pixels.sum()
        # Of a ratio: images may differ in size.
        rest = predicted - predicted.sum(1, keepdims=True) * share
        weights = self.components[chosen].sum(0)
        return Summary(
            share,
            np.sqrt((rest**2).sum(0)) / pixels.sum(),
            _per(self.colour[chosen].sum(0), pixels[:, None]),
            _per(self.sizes[chosen].sum(0), weights),
            weights / max(pixels.sum(), 1),
            self.spectrum[chosen].mean(0),
        )


def _per(sums: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return sums / np.maximum(weights, 1e-9)


def gains(target: Summary, source: Summary) -> np.ndarray:
    """Estimate the factors of red, green and blue (3,).

    The median over the classes in both domains: so neither a shifted prior nor
    one recoloured class counts as light. In logarithms.
    """
    both = np.minimum(target.predicted, source.predicted) > 5 * TRUSTED
    if not both.any():
        both[:] = True
    return np.median((target.colour - source.colour)[both], 0)


def brightness(target: Summary, source: Summary) -> float:
    """Compute the logarithm of the brightness factor."""
    return float(gains(target, source).mean())


def cast(target: Summary, source: Summary) -> float:
    """Compute the largest deviation of a channel's logarithm from the mean."""
    found = gains(target, source)
    found = found - found.mean()
    return float(found[np.abs(found).argmax()])


def scale(target: Summary, source: Summary) -> float:
    """Compute the logarithm of the factor of object sizes.

    Compares predictions in both domains: against source labels, a network that
    fragments objects would look like smaller objects.
    """
    weight = np.sqrt(np.minimum(target.components, source.components))
    moved = weight * (target.sizes - source.sizes)
    return float(moved.sum() / max(weight.sum(), 1e-9))


def detail(target: Summary, source: Summary) -> float:
    """Compute how much more power the finest octave has."""
    return float(target.spectrum[0] - source.spectrum[0])


def shares(target: Summary, source: Summary) -> np.ndarray:
    """Compute the log factors of the classes' predicted shares (K,)."""
    moved = np.log((target.predicted + FLOOR) / (source.predicted + FLOOR))
    known = np.maximum(target.predicted, source.predicted) > TRUSTED
    return np.where(known, moved, 0)


def growth(target: Summary, source: Summary) -> np.ndarray:
    """Compute by how many standard errors the classes' shares grew (K,).

    A class of few images can by chance be in none or in twice as many. Its log
    factor then varies widely, but its share does not (Welch's t).
    """
    errors = np.hypot(target.errors, source.errors)
    grown = target.predicted - source.predicted
    return grown / np.maximum(errors, TRUSTED / 10)


OF_IMAGES: dict[str, Callable[[Summary, Summary], float]] = {
    BRIGHTNESS: brightness,
    COLOUR: cast,
    SCALE: scale,
    DETAIL: detail,
}


class Chance(NamedTuple):
    """Differences between random sets of source images.

    Attributes:
        values: 99th percentile of each measure of `OF_IMAGES`.
        shares: Standard deviation of each class's `shares` (K,).
        largest: 99th percentile of the largest one, in standard deviations.
        growth: 99th percentile of the classes' largest `growth`.
    """

    values: dict[str, float]
    shares: np.ndarray
    largest: float
    growth: float


def chance(source: Domain, images: int, seed: int = 0) -> Chance:
    """Compare random sets of source images with the others.

    Args:
        source: The source's images.
        images: Size of the target; at most half of the source is used.
        seed: Random seed.
    """
    number = len(source.predicted)
    size = max(min(images, number // 2), 1)
    rng = np.random.default_rng(seed)
    pairs = []
    for _ in range(DRAWS):
        order = rng.permutation(number)
        pairs.append(
            (source.summary(order[:size]), source.summary(order[size:]))
        )
    values = {
        name: float(np.quantile([abs(measure(*p)) for p in pairs], 0.99))
        for name, measure in OF_IMAGES.items()
    }
    moved = np.array([shares(*pair) for pair in pairs])
    spread = np.maximum(moved.std(0), 0.05)
    largest = float(np.quantile(np.abs(moved / spread).max(1), 0.99))
    grown = float(np.quantile([growth(*p).max() for p in pairs], 0.99))
    return Chance(values, spread, largest, max(grown, 1.0))


class Prior(NamedTuple):
    """The class priors.

    Attributes:
        source: From the source labels (K,).
        em: Target prior by `em_prior`.
        black_box: Target prior by `black_box_prior`.
        shrunk: Target prior by `shrunk_prior`.
        temperature: Calibrates probabilities on the source.
        confusion: Source pixels (K, K).
    """

    source: np.ndarray
    em: np.ndarray
    black_box: np.ndarray
    shrunk: np.ndarray
    temperature: float
    confusion: np.ndarray


def estimate_priors(
    source: Sequence[Observed], target: Sequence[Observed]
) -> Prior:
    """Estimate the target's class prior by each method."""
    confusion = sum(image.confusion for image in source).astype(float)
    own = confusion.sum(1) / confusion.sum()
    logits = np.concatenate([image.logits for image in source])
    truth = np.concatenate([image.truth for image in source])
    known = np.flatnonzero(truth >= 0)
    some = known[:: max(len(known) // ENOUGH, 1)]
    temperature = temperature_of(logits[some], truth[some])
    scores = np.concatenate([image.logits for image in target])
    predicted = sum(image.predicted for image in target)
    expected = softmax(logits[known] / temperature).mean(0)
    probabilities = softmax(scores / temperature)
    return Prior(
        own,
        em_prior(probabilities, own),
        black_box_prior(confusion, predicted / predicted.sum()),
        shrunk_prior(probabilities, expected, own, len(target)),
        temperature,
        confusion,
    )


def check(
    source: Sequence[Observed],
    target: Sequence[Observed],
    classes: Sequence[str],
    prior: Prior,
) -> list[Finding]:
    """List the differences, root causes first.

    Args:
        source: Images of the source, with labels.
        target: Images of the target.
        classes: Names of the classes.
        prior: The class priors.
    """
    own, other = Domain.of(source), Domain.of(target)
    by_chance = chance(own, len(target))
    pair = other.summary(), own.summary()
    found = []
    for name, measure in OF_IMAGES.items():
        value = measure(*pair)
        least = max(LEAST[name], by_chance.values[name])
        text = f'{name} x {np.exp(value):.2f}'
        found.append(Finding(name, value, abs(value) / least, text))
    found.append(_class_finding(pair, by_chance, classes, prior))
    causes = [f for f in found if f.name in (BRIGHTNESS, COLOUR)]
    rest = [f for f in found if f not in causes]
    ordered = sorted(causes, key=lambda f: -f.score) + rest
    return sorted(ordered, key=lambda f: f.score < 1)


def _class_finding(
    pair: tuple[Summary, Summary],
    by_chance: Chance,
    classes: Sequence[str],
    prior: Prior,
) -> Finding:
    """Test the class whose share has shifted most against chance."""
    moved, evidence = shares(*pair), _evidence(pair, by_chance, prior)
    k = int(evidence.argmax())
    factor = factors(prior)[k]
    name = ABSENCE if factor < ABSENT and moved[k] < 0 else PRIOR
    text = f'{classes[k]} x {factor:.2f}, predicted x {np.exp(moved[k]):.2f}'
    return Finding(name, float(np.log(factor)), float(evidence[k]), text)


def factors(prior: Prior) -> np.ndarray:
    """Compute each class's prior factor (K,), by black box."""
    return (prior.black_box + 1e-6) / (prior.source + 1e-6)


def _evidence(
    pair: tuple[Summary, Summary], by_chance: Chance, prior: Prior
) -> np.ndarray:
    """Compute each class's shift relative to chance (K,)."""
    moved = shares(*pair)
    # The factor shows best what has become rare, the share what has grown.
    by_factor = np.abs(moved) / by_chance.shares / by_chance.largest
    evidence = np.maximum(by_factor, growth(*pair) / by_chance.growth)
    small = np.abs(np.log(factors(prior))) < LEAST[PRIOR]
    # On new images a network is less sure of a class anyway: that is no prior
    # shift.
    small |= np.abs(moved) < OVERFIT
    return np.where(small, 0, evidence)


def proven_classes(
    source: Sequence[Observed], target: Sequence[Observed], prior: Prior
) -> np.ndarray:
    """Find the classes whose shift is significant (K,) bool."""
    own, other = Domain.of(source), Domain.of(target)
    pair = other.summary(), own.summary()
    return _evidence(pair, chance(own, len(target)), prior) >= 1


def proven_estimate(proven: np.ndarray, classes: Sequence[str]) -> str:
    """Say which classes `proven_prior` corrects, and by which estimate."""
    if proven.sum() >= MANY:
        return 'all classes, shrunk'
    names = [
        name
        for name, is_moved in zip(classes, proven, strict=True)
        if is_moved
    ]
    return f'{", ".join(names)}, by black box'


def proven_prior(
    source: Sequence[Observed], target: Sequence[Observed], prior: Prior
) -> np.ndarray:
    """Estimate the target's prior (K,), as far as its shift is significant.

    Correcting for chance does more harm than good, so only one or two
    significantly shifted classes are corrected. If more have shifted, the
    whole prior is replaced by the shrunk one. No class is corrected by more
    than a factor of ten.
    """
    proven = proven_classes(source, target, prior)
    ratio = np.where(proven, factors(prior), 1)
    if proven.sum() >= MANY:
        ratio = (prior.shrunk + 1e-6) / (prior.source + 1e-6)
    corrected = prior.source * np.clip(ratio, 0.1, 10)
    return corrected / corrected.sum()
