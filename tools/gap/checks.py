# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""In what the target differs from the source, and whether that is chance.

Each difference is measured in its own unit and compared with what as many
images of the source, drawn at random, differ from the others of it. What comes
before the network (light, colour, size of objects) moves what comes out of it
as well, so it is named before classes are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from .observe import Observed
from .prior import black_box_prior, em_prior, softmax, temperature_of

# legend: N images, K classes, P pixels, D draws

DRAWS = 100  # sets of source images that chance is told by
ENOUGH = 20_000  # pixels that a temperature is told by
TRUSTED = 0.001  # share of the source below which a class tells nothing
FLOOR = 2e-3  # share that is added to shares before a ratio is taken
OVERFIT = 0.3  # logarithm of the factor of a predicted share, at least
MANY = 3  # classes from which the prior as a whole has moved
ABSENT = 0.2  # factor of the prior below which a class is called absent

BRIGHTNESS, COLOUR, SCALE, DETAIL, ABSENCE, PRIOR = (
    'brightness',
    'colour',
    'object scale',
    'detail',
    'absent class',
    'class prior',
)
# The least difference of each that counts, whatever chance would make of it:
# logarithms of factors.
LEAST = {BRIGHTNESS: 0.12, COLOUR: 0.06, SCALE: 0.1, DETAIL: 0.6, PRIOR: 0.7}


class Finding(NamedTuple):
    """One difference between the domains.

    Attributes:
        name: What differs.
        value: By how much, the logarithm of a factor.
        score: From 1 on it is no chance.
        text: It in words.
    """

    name: str
    value: float
    score: float
    text: str


class Summary(NamedTuple):
    """What is known of a set of images, all of them together.

    Attributes:
        predicted: Share of the pixels (K,) that are predicted.
        colour: Mean logarithm of red, green and blue (K, 3) by class.
        sizes: Mean logarithm of the sides of components (K,).
        components: Weights of that (K,).
        spectrum: Logarithm of the power by octave (B,).
    """

    predicted: np.ndarray
    colour: np.ndarray
    sizes: np.ndarray
    components: np.ndarray
    spectrum: np.ndarray


class Domain(NamedTuple):
    """A domain's images as arrays (N, ...), for sums over parts of them."""

    predicted: np.ndarray
    colour: np.ndarray
    sizes: np.ndarray
    components: np.ndarray
    spectrum: np.ndarray

    @classmethod
    def of(cls, images: Sequence[Observed]) -> Domain:
        """Stack what was observed of images."""
        return cls(
            *(
                np.array([getattr(image, name) for image in images], float)
                for name in cls._fields
            )
        )

    def summary(self, chosen: np.ndarray | slice = slice(None)) -> Summary:
        """Sum some of the images."""
        pixels = self.predicted[chosen].sum(0)
        weights = self.components[chosen].sum(0)
        return Summary(
            pixels / pixels.sum(),
            _per(self.colour[chosen].sum(0), pixels[:, None]),
            _per(self.sizes[chosen].sum(0), weights),
            weights / max(pixels.sum(), 1),
            self.spectrum[chosen].mean(0),
        )


def _per(sums: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return sums / np.maximum(weights, 1e-9)


def gains(target: Summary, source: Summary) -> np.ndarray:
    """Estimate by how much red, green and blue (3,) were multiplied.

    The median over the classes that both have: so neither a moved prior nor
    a class of another colour counts as light. In logarithms.
    """
    both = np.minimum(target.predicted, source.predicted) > 5 * TRUSTED
    if not both.any():
        both[:] = True
    return np.median((target.colour - source.colour)[both], 0)


def brightness(target: Summary, source: Summary) -> float:
    """Logarithm of the factor of the light."""
    return float(gains(target, source).mean())


def cast(target: Summary, source: Summary) -> float:
    """The largest difference of a colour's logarithm from their mean."""
    found = gains(target, source)
    found = found - found.mean()
    return float(found[np.abs(found).argmax()])


def scale(target: Summary, source: Summary) -> float:
    """Logarithm of the factor of the objects' sides.

    Of predictions in both domains: of the source's labels against predictions
    a network that breaks objects up would look like one of small objects.
    """
    weight = np.sqrt(np.minimum(target.components, source.components))
    moved = weight * (target.sizes - source.sizes)
    return float(moved.sum() / max(weight.sum(), 1e-9))


def detail(target: Summary, source: Summary) -> float:
    """How much more power the finest octave has."""
    return float(target.spectrum[0] - source.spectrum[0])


def shares(target: Summary, source: Summary) -> np.ndarray:
    """Logarithms of the factors of the classes' predicted shares (K,)."""
    moved = np.log((target.predicted + FLOOR) / (source.predicted + FLOOR))
    known = np.maximum(target.predicted, source.predicted) > TRUSTED
    return np.where(known, moved, 0)


OF_IMAGES: dict[str, Callable[[Summary, Summary], float]] = {
    BRIGHTNESS: brightness,
    COLOUR: cast,
    SCALE: scale,
    DETAIL: detail,
}


class Chance(NamedTuple):
    """What sets of source images differ by.

    Attributes:
        values: 99th percentile of each measure of `OF_IMAGES`.
        shares: Standard deviation of each class's `shares` (K,).
        largest: 99th percentile of the largest of them, in its deviations.
    """

    values: dict[str, float]
    shares: np.ndarray
    largest: float


def chance(source: Domain, images: int, seed: int = 0) -> Chance:
    """Draw sets of source images and compare them with the others.

    Args:
        source: The source's images.
        images: How many the target has; half of the source at most.
        seed: Of the draws.
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
    return Chance(values, spread, largest)


class Prior(NamedTuple):
    """The class priors.

    Attributes:
        source: Of the source's labels (K,).
        em: Of the target, by `em_prior`.
        black_box: Of the target, by `black_box_prior`.
        temperature: By which probabilities are calibrated on the source.
        confusion: Pixels of the source (K, K).
    """

    source: np.ndarray
    em: np.ndarray
    black_box: np.ndarray
    temperature: float
    confusion: np.ndarray


def estimate_priors(
    source: Sequence[Observed], target: Sequence[Observed]
) -> Prior:
    """Estimate the target's class prior in both ways."""
    confusion = sum(image.confusion for image in source).astype(float)
    own = confusion.sum(1) / confusion.sum()
    logits = np.concatenate([image.logits for image in source])
    truth = np.concatenate([image.truth for image in source])
    known = np.flatnonzero(truth >= 0)
    some = known[:: max(len(known) // ENOUGH, 1)]
    temperature = temperature_of(logits[some], truth[some])
    scores = np.concatenate([image.logits for image in target])
    predicted = sum(image.predicted for image in target)
    return Prior(
        own,
        em_prior(softmax(scores / temperature), own),
        black_box_prior(confusion, predicted / predicted.sum()),
        temperature,
        confusion,
    )


def check(
    source: Sequence[Observed],
    target: Sequence[Observed],
    classes: Sequence[str],
    prior: Prior,
) -> list[Finding]:
    """List the differences, the first cause first.

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
    found.append(_class_finding(shares(*pair), by_chance, classes, prior))
    causes = [f for f in found if f.name in (BRIGHTNESS, COLOUR)]
    rest = [f for f in found if f not in causes]
    ordered = sorted(causes, key=lambda f: -f.score) + rest
    return sorted(ordered, key=lambda f: f.score < 1)


def _class_finding(
    moved: np.ndarray,
    by_chance: Chance,
    classes: Sequence[str],
    prior: Prior,
) -> Finding:
    """Judge the class whose share has moved most, for chance to explain."""
    evidence = _evidence(moved, by_chance, prior)
    k = int(evidence.argmax())
    factor = factors(prior)[k]
    name = ABSENCE if factor < ABSENT and moved[k] < 0 else PRIOR
    text = f'{classes[k]} x {factor:.2f}, predicted x {np.exp(moved[k]):.2f}'
    return Finding(name, float(np.log(factor)), float(evidence[k]), text)


def factors(prior: Prior) -> np.ndarray:
    """By how much each class's prior is multiplied (K,), by black box."""
    return (prior.black_box + 1e-6) / (prior.source + 1e-6)


def _evidence(
    moved: np.ndarray, by_chance: Chance, prior: Prior
) -> np.ndarray:
    """How much more each class has moved than chance moves any (K,)."""
    evidence = np.abs(moved) / by_chance.shares / by_chance.largest
    small = np.abs(np.log(factors(prior))) < LEAST[PRIOR]
    # On images that it was not trained on a network is less sure of a class
    # as it is: that is no other prior.
    small |= np.abs(moved) < OVERFIT
    return np.where(small, 0, evidence)


def proven_prior(
    source: Sequence[Observed], target: Sequence[Observed], prior: Prior
) -> np.ndarray:
    """Estimate the target's prior (K,), as far as it is proven to have moved.

    Where that may be chance a correction does more harm than good, so one or
    two classes that have moved are corrected alone. Where more have, the
    prior as a whole has, and is that of EM. No class is corrected by more
    than a factor of ten.
    """
    own, other = Domain.of(source), Domain.of(target)
    moved = shares(other.summary(), own.summary())
    proven = _evidence(moved, chance(own, len(target)), prior) >= 1
    ratio = np.where(proven, factors(prior), 1)
    if proven.sum() >= MANY:
        ratio = (prior.em + 1e-6) / (prior.source + 1e-6)
    corrected = prior.source * np.clip(ratio, 0.1, 10)
    return corrected / corrected.sum()
