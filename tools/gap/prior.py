# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Estimate the target's class prior without target labels."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize, nnls

# legend: P pixels, K classes

# Standard deviation of the logarithms of the class ratios, target to source.
SPREAD = np.log(2)
# Neighbouring pixels agree: this many of an image count as independent.
INDEPENDENT = 48


def em_prior(
    probabilities: np.ndarray, source: np.ndarray, steps: int = 100
) -> np.ndarray:
    """Estimate the class prior by expectation maximisation.

    Probabilities are corrected by the ratio of the priors; their mean is the
    next prior, until convergence (Saerens, Latinne and Decaestecker,
    "Adjusting the Outputs of a Classifier to New a Priori Probabilities",
    Neural Computation 2002, eq. 2.6 to 2.9).

    Args:
        probabilities: Target pixels (P, K), calibrated on the source.
        source: Class prior of the source (K,).
        steps: Maximum number of steps.

    Returns:
        The target's prior (K,).
    """
    known = source > 0
    prior = source.astype(np.float64)
    ratio = np.zeros_like(prior)
    for _ in range(steps):
        np.divide(prior, source, out=ratio, where=known)
        corrected = probabilities * ratio
        corrected /= np.maximum(corrected.sum(1, keepdims=True), 1e-300)
        before, prior = prior, corrected.mean(0)
        if np.abs(prior - before).sum() < 1e-6:
            break
    return prior / prior.sum()


def shrunk_prior(
    probabilities: np.ndarray,
    expected: np.ndarray,
    source: np.ndarray,
    images: int,
) -> np.ndarray:
    """Estimate the class prior with shrinkage towards the source's.

    A maximum a posteriori estimate: EM's likelihood, and a normal prior on
    the logarithms of the ratios to the source. Rare classes with few
    predictions stay where they were; EM and least squares estimate them as
    absent. Without a shift none is found, whatever the calibration.

    Sources: maximum likelihood on calibrated probabilities, Alexandari,
    Kundaje and Shrikumar, "Maximum Likelihood With Bias-Corrected Calibration
    Is Hard-To-Beat at Label Shift Adaptation", ICML 2020; shrinkage of the
    ratios, of least squares there, Azizzadenesheli et al., "Regularized
    Learning for Domain Adaptation under Label Shifts", ICLR 2019.

    Args:
        probabilities: Of the target's pixels (P, K), calibrated on the source.
        expected: Their mean on the source (K,).
        source: Class prior of the source (K,).
        images: Number of target images that the pixels are from.

    Returns:
        The target's prior (K,).
    """
    weight = 1 / (images * INDEPENDENT * SPREAD**2)

    def loss(logs: np.ndarray) -> tuple[float, np.ndarray]:
        ratio = np.exp(logs)
        of_pixel, norm = probabilities @ ratio, expected @ ratio
        value = np.log(norm) - np.log(of_pixel).mean()
        slope = ratio * (
            expected / norm - (1 / of_pixel) @ probabilities / len(of_pixel)
        )
        value += weight / 2 * (logs**2).sum()
        return value, slope + weight * logs

    start = np.zeros(len(source))
    found = minimize(loss, start, jac=True, method='L-BFGS-B')
    prior = source * np.exp(found.x)
    return prior / prior.sum()


def black_box_prior(
    confusion: np.ndarray, predicted: np.ndarray
) -> np.ndarray:
    """Estimate the class prior from hard predictions alone.

    Predictions are a mixture of the predictions for each class, weighted by
    the prior: the weights are found by non-negative least squares (Lipton,
    Wang and Smola, "Detecting and Correcting for Label Shift with Black Box
    Predictors", ICML 2018, Sec. 3).

    Args:
        confusion: Source pixels (K, K), rows are the ground truth.
        predicted: Predicted share of the target's pixels (K,).

    Returns:
        The target's prior (K,); 0 for classes missing in the source.
    """
    pixels = confusion.sum(1, keepdims=True)
    of_class = np.divide(
        confusion,
        pixels,
        out=np.zeros_like(confusion, float),
        where=pixels > 0,
    )
    prior, _ = nnls(of_class.T, predicted)
    return prior / max(prior.sum(), 1e-300)


def log_ratios(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Compute what a shifted prior adds to the class scores (K,).

    Args:
        source: Class prior of the source (K,).
        target: Class prior of the target (K,).
    """
    return np.log((target + 1e-6) / (source + 1e-6))


def reweight(
    logits: np.ndarray, source: np.ndarray, target: np.ndarray
) -> np.ndarray:
    """Correct class scores (..., K) for a shifted prior.

    The scores are the network's own; only the estimate of the prior uses
    calibrated ones. This is what the benchmark of re-weighting measures.

    Args:
        logits: Scores of the network, not divided by a temperature.
        source: Class prior of the source (K,).
        target: Class prior of the target (K,).
    """
    return (logits + log_ratios(source, target)).astype(logits.dtype)


def temperature_of(logits: np.ndarray, labels: np.ndarray) -> float:
    """Find the temperature that minimises the negative log likelihood.

    Args:
        logits: Class scores (P, K).
        labels: True classes (P,).

    Source: Guo et al., "On Calibration of Modern Neural Networks", ICML 2017.
    """
    grid = np.geomspace(0.25, 8, 61)
    rows = np.arange(len(labels))
    losses = []
    for temperature in grid:
        scaled = logits / temperature
        top = scaled.max(1)
        norm = top + np.log(np.exp(scaled - top[:, None]).sum(1))
        losses.append(np.mean(norm - scaled[rows, labels]))
    return float(grid[int(np.argmin(losses))])


def calibration_error(
    confidence: np.ndarray, right: np.ndarray, bins: int = 15
) -> float:
    """Compute the expected calibration error, 0 to 1.

    Args:
        confidence: Probability of the prediction (P,).
        right: Whether it is correct (P,).
        bins: Number of equal-width bins.
    """
    place = np.minimum((confidence * bins).astype(int), bins - 1)
    gap = np.bincount(place, confidence - right, bins)
    return float(np.abs(gap).sum() / max(len(confidence), 1))


def softmax(logits: np.ndarray) -> np.ndarray:
    """Compute probabilities (..., K) of class scores."""
    exponents = np.exp(logits - logits.max(-1, keepdims=True))
    return exponents / exponents.sum(-1, keepdims=True)
