"""Photometric distortion (section 3.4), as one affine map of colours."""

from __future__ import annotations

import numpy as np

from s3fd.data.annotations import FloatArray
from s3fd.images import UInt8Array

# Luma weights of BT.601, and the plane of hue and saturation around that axis (YIQ).
_TO_YIQ = np.array([[0.299, 0.587, 0.114], [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]])
_FROM_YIQ = np.linalg.inv(_TO_YIQ)


# Old prints: what is left of the colours is a brown that grows with the brightness.
_SEPIA = np.array([[0.393, 0.769, 0.189], [0.349, 0.686, 0.168], [0.272, 0.534, 0.131]])


def colour_distortion(
    rng: np.random.Generator, grey: float = 0.0, sepia: float = 0.0
) -> FloatArray:
    """Draws brightness, contrast, saturation and hue, each with a probability of a half.

    The four follow Howard, "Some improvements on deep convolutional neural network based image
    classification" (2013), in the ranges of SSD. All are affine in RGB, so that one pass over the
    pixels does them all.

    Args:
        rng: what draws.
        grey: the share of images that lose their colours.
        sepia: the share of images that turn brown, as old prints.

    Returns:
        float32 ``[3, 4]``: a colour ``c`` becomes ``m[:, :3] @ c + m[:, 3]``, clipped to 0 to 255.
    """
    brightness = rng.uniform(-32.0, 32.0) if rng.random() < 0.5 else 0.0
    contrast = rng.uniform(0.5, 1.5) if rng.random() < 0.5 else 1.0
    saturation = rng.uniform(0.5, 1.5) if rng.random() < 0.5 else 1.0
    hue = rng.uniform(-0.1, 0.1) * np.pi if rng.random() < 0.5 else 0.0
    if rng.random() < grey:
        saturation = 0.0
    rotation = np.array([[np.cos(hue), -np.sin(hue)], [np.sin(hue), np.cos(hue)]])
    yiq = np.eye(3)
    yiq[1:, 1:] = saturation * rotation
    matrix = contrast * (_FROM_YIQ @ yiq @ _TO_YIQ)
    if sepia and rng.random() < sepia:
        matrix = _SEPIA @ matrix
    offset = np.full((3, 1), brightness + 128.0 * (1.0 - contrast))
    return np.concatenate([matrix, offset], axis=1).astype(np.float32)


def recolour(image: UInt8Array, colours: FloatArray) -> UInt8Array:
    """Applies what `colour_distortion` has drawn to ``[H, W, 3]``, in RGB."""
    # A product of matrices would start threads of its own, which fight with those of the other
    # workers. Pillow's conversion gives the same bytes, one after the other.
    from s3fd import _arrays

    return _arrays.recolour(image, colours)
