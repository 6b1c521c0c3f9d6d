# Copyright (c) mmseg_cag authors. Licensed under Apache-2.0.
"""Simulate lens, sensor and file format of a camera."""

from __future__ import annotations

import cv2
import numpy as np

from .styles import Lens

LUMA = np.array((0.299, 0.587, 0.114), np.float32)


def expose(
    image: np.ndarray, lens: Lens, rng: np.random.Generator
) -> np.ndarray:
    """Simulate the stored uint8 image (H, W, 3) of a rendered one, RGB.

    Args:
        image: uint8 image (H, W, 3) without any camera effect.
        lens: The camera of the town.
        rng: Samples the exposure and noise of this image.
    """
    light = image.astype(np.float32)
    light = _focus(light, lens, rng)
    light = _vignette(light, lens.vignette)
    light = _grade(light, lens, rng)
    light = _sensor_noise(light, lens.noise, rng)
    stored = np.clip(np.rint(light), 0, 255).astype(np.uint8)
    return _compress(stored, lens.jpeg)


def _focus(
    light: np.ndarray, lens: Lens, rng: np.random.Generator
) -> np.ndarray:
    sigma = rng.uniform(*lens.blur) * light.shape[0]
    if sigma > 0:
        light = cv2.GaussianBlur(light, (0, 0), sigma)
    if lens.sharpen > 0:
        soft = cv2.GaussianBlur(light, (0, 0), light.shape[0] / 128)
        light = light + lens.sharpen * (light - soft)
    return light


def _vignette(light: np.ndarray, strength: float) -> np.ndarray:
    rows, columns = light.shape[:2]
    y = np.linspace(-1, 1, rows, dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, columns, dtype=np.float32)[None]
    falloff = 1 - strength * (x**2 + y**2) / 2
    return light * falloff[..., None]


def _grade(
    light: np.ndarray, lens: Lens, rng: np.random.Generator
) -> np.ndarray:
    cast = np.array(lens.cast) + rng.normal(0, lens.cast_jitter, 3)
    light = light * (rng.uniform(*lens.brightness) * cast).astype(np.float32)
    grey = (light @ LUMA)[..., None]
    light = grey + (light - grey) * np.float32(rng.uniform(*lens.saturation))
    middle = light.mean()
    light = middle + (light - middle) * np.float32(rng.uniform(*lens.contrast))
    gamma = np.float32(rng.uniform(*lens.gamma))
    return 255 * np.clip(light / 255, 0, 1) ** gamma


def _sensor_noise(
    light: np.ndarray, strength: float, rng: np.random.Generator
) -> np.ndarray:
    if strength == 0:
        return light
    # Shot noise grows with the light; luminance noise exceeds colour noise.
    level = strength * (0.6 + 0.6 * np.sqrt(np.maximum(light, 0) / 255))
    shared = rng.standard_normal((*light.shape[:2], 1), np.float32)
    colour = rng.standard_normal(light.shape, np.float32)
    return light + level * (0.8 * shared + 0.5 * colour)


def _compress(image: np.ndarray, quality: int) -> np.ndarray:
    if quality >= 100:
        return image
    options = (cv2.IMWRITE_JPEG_QUALITY, quality)
    _, data = cv2.imencode('.jpg', image[..., ::-1], options)
    return cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1]
